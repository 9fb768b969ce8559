// Package idemhttp makes net/http handlers idempotent: a request that is sent
// again with its Idempotency-Key is answered with the reply to the first one,
// byte for byte, and the work is done once.
//
// [Middleware] goes around any [http.Handler]. The handler works in the
// transaction that [Tx] finds in its request's context, and its reply is stored
// in the same transaction:
//
//	protect := idemhttp.Middleware(store, idemhttp.Config{Scope: owner})
//	mux.Handle("POST /orders", protect(http.HandlerFunc(createOrder)))
//
//	func createOrder(w http.ResponseWriter, r *http.Request) {
//		tx := idemhttp.Tx(r.Context())
//		...
//	}
//
// # The client
//
// [Transport] is the other side: an [http.RoundTripper] that gives a request its
// key once and sends it again, with that key, until there is an answer. It works
// with any server that follows the draft of the header,
// draft-ietf-httpapi-idempotency-key-header-07. Of the problems below it takes
// in_flight and unavailable for "not yet", and all others for the answer.
//
// # What the client gets
//
// Nothing is sent before the transaction has ended. By default a 2xx or 3xx
// commits the handler's writes and is stored; every other status, and a panic,
// undoes them and is forgotten, so that a retry runs again. A [Policy] decides
// otherwise: it may keep final refusals, and [Stripe] is one that keeps errors
// and speaks as that API does. What says that it is transient is never kept.
//
// What is stored is replayed byte for byte, with its status and headers. A replay
// carries Idempotency-Replayed: true. A reply is kept for 24 hours, or
// [idemtx.Config.TTL]; after that its key is as good as new, or refused, by
// [idemtx.Config.OnExpired]. Stored replies carry Idempotency-Expires, the HTTP
// date up to which they are replayed.
//
// Some headers are of one sending and not of the reply. They are neither stored
// nor replayed, though the first client gets them: Set-Cookie, Authorization,
// Authentication-Info, Date, and those of the connection. [Config.AllowHeaders]
// and [Config.DenyHeaders] say more. Content-Encoding is stored with the body, so
// compress outside of the middleware: a retry may accept other codings.
//
// # What the handler gets
//
// Its own copy of the request, with the body ready to be read, and a
// [http.ResponseWriter] that holds everything back. It cannot flush or hijack,
// 1xx replies are swallowed, and a reply that is longer than the store takes, is
// not as long as its Content-Length says, has trailers or switches protocols is
// undone and answered with a 500. For a stream of events, store the request here
// and stream from a GET.
//
// The handler is run again when PostgreSQL has undone its transaction (40001,
// 40P01) or the connection was lost, whatever it has replied to that; what it does
// outside of the transaction is then done again. A call to another service takes
// a key of [idemtx.DownstreamKey] for [Request], which is the same in each run.
// What is sent through Tx(ctx).Conn() or LargeObjects is a part of the transaction,
// but why it fails is not seen.
//
// A handler that is left behind in the middle of a statement, as by
// [http.TimeoutHandler], is waited for until that ends, and cannot send another.
//
// # Frameworks
//
// Any router of net/http takes a [Middleware], and so does one that wraps
// net/http's handlers. Two things are to be seen to: that an error which the
// framework answers later is answered before the middleware looks, or it sees an
// empty 200 and commits; and that the handler can be run again, as a chain that
// counts its steps cannot. Wrap the route's handler and not the chain, or use
// [Protection], which also serves what is not net/http, and handlers that work in
// [idemtx.DoTx] or [idemtx.DoPool]. The module
// github.com/idemtx/idemtx/interop does so for chi, echo, gin and fiber.
//
// # Which requests are the same
//
// Those of one scope and key. They must then agree in method, path, query,
// Content-Type and Content-Encoding, and in the body: as JSON when the media type
// is application/json or ends in +json, so that member order, white space and
// parameters of the type do not matter, and byte for byte otherwise: a client that
// builds a multipart form again, with another boundary, or compresses a body in
// another way, sends another request. Host and other headers do not count.
//
// A body that says it is JSON and is not, that names a member twice in one object,
// or that holds a number no double can, is refused before the handler sees it:
// two parsers may read two different requests in it. So is one whose Content-Type
// is no media type, where a reader may take it for JSON.
//
// What is around the middleware must leave the body unread. That it has not is
// noticed where it has left nothing of a form, or of a body with a length.
//
// # Problems
//
// What goes wrong is answered as application/problem+json (RFC 9457). The type is
// [Config.ProblemBase] and one of the names below; by default it links to here.
// [Config.Logger] is told more than the client.
//
// # key_missing
//
// 400. Send an Idempotency-Key header, with a new random key for each operation
// and the same one for each retry of it.
//
// # key_invalid
//
// 400. The Idempotency-Key header is not one key; see [ParseKey].
//
// # body_incomplete
//
// 400. The body ended early. Nothing was done: send it again.
//
// # body_invalid
//
// 400. The media type says JSON and the body is not valid JSON.
//
// # unauthenticated
//
// 401. It is not known whose key it is.
//
// # in_flight
//
// 409. The first request with this key has not ended. Send it again after
// Retry-After, unchanged.
//
// # expired
//
// 410. The key was answered so long ago that the reply is gone. Find out what
// became of the request before you send it with a new key.
//
// # body_too_large
//
// 413. The body has more than [Config.MaxBodyBytes].
//
// # mismatch
//
// 422. The key was first used for another request. Take a new one.
//
// # internal
//
// 500. Something is wrong that time does not mend, and that the operator is told.
// A retry with the same key does nothing twice, but may fail again.
//
// # unavailable
//
// 503. The database could not be reached, or the outcome is not known. A retry
// with the same key after Retry-After is safe and finds out.
package idemhttp
