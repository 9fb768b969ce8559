// Package idemui shows operators what a store holds and does: pages for a browser,
// made on the server, without JavaScript.
//
// Mount a [Handler] behind authentication of your own. It has none: whoever reaches
// it sees how many requests there are and may ask about every key that he can name.
// It writes nothing, and no page, URL or header holds a key, a reply, or whose key it
// is other than as a hash, unless [Config.ShowReplies] or [Config.ShowScopes] says so.
//
// The table is only asked for counts so often, and only for so long: see
// [Config.CountEvery] and [Config.Timeout]. What calls do is known of this process
// alone, from a [Recorder] that is the store's Tracer. Behind a load balancer each
// replica tells of its own.
package idemui
