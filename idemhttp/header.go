package idemhttp

import (
	"net/http"
	"net/textproto"
	"strings"
)

// neverSent are headers that a handler may set and a whole reply of known length
// cannot have, and the one that is the middleware's own to say.
var neverSent = set("Transfer-Encoding", "Trailer", replayedHeader)

// neverStored are headers that are of one sending and not of the reply: secrets
// of the moment, its date, and those of the connection.
var neverStored = set(
	"Set-Cookie", "Authorization", "Date",
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
)

// sendable copies what of the handler's headers is sent.
func sendable(h http.Header) http.Header {
	return without(h, func(name string) bool {
		return neverSent[name] || strings.HasPrefix(name, http.TrailerPrefix)
	})
}

// storable copies what of a reply's headers is stored and replayed.
func storable(h http.Header) http.Header {
	named := set() // by Connection, which makes them of the connection too
	for _, value := range h.Values("Connection") {
		for name := range strings.SplitSeq(value, ",") {
			named[http.CanonicalHeaderKey(textproto.TrimString(name))] = true
		}
	}
	return without(h, func(name string) bool { return neverStored[name] || named[name] })
}

// without copies h but for what drop wants gone. Names are told apart as clients
// do, who care for case less than a handler that writes to the map directly.
func without(h http.Header, drop func(name string) bool) http.Header {
	kept := h.Clone()
	for name := range h {
		if drop(http.CanonicalHeaderKey(name)) {
			delete(kept, name)
		}
	}
	return kept
}

func set(names ...string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, name := range names {
		s[name] = true
	}
	return s
}
