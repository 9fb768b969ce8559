package idemhttp

import (
	"net/http"
	"net/textproto"
	"strings"
)

// neverStored are headers that are of one sending and not of the reply: secrets
// of the moment, its date, and those of the connection.
var neverStored = set(
	"Set-Cookie", "Set-Cookie2", "Authorization", "Authentication-Info", "Date",
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
	"Transfer-Encoding", "Trailer",
)

// framing are headers that tell where a response ends. A client that is told two
// ends reads two responses.
var framing = set("Content-Length", "Transfer-Encoding", "Trailer")

// ofTheBody are headers without which the body is another one.
var ofTheBody = set("Content-Type", "Content-Encoding", "Content-Length")

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

// storable copies what of a reply's headers the configuration lets be stored.
func (c *Config) storable(h http.Header) http.Header {
	return without(h, func(name string) bool {
		return !ofTheBody[name] && (c.denied[name] || c.AllowHeaders != nil && !c.allowed[name])
	})
}

// without copies h but for what drop wants gone, as net/http sends it, whoever
// sends it: a line break in a value, or a name that is none, would begin another
// header or another response. Names are told apart as clients do, who care for case
// less than a handler that writes to the map directly.
func without(h http.Header, drop func(name string) bool) http.Header {
	kept := h.Clone()
	for name, values := range kept {
		if !isToken(name) || drop(http.CanonicalHeaderKey(name)) {
			delete(kept, name)
			continue
		}
		for i, value := range values {
			values[i] = newlines.Replace(value)
		}
	}
	return kept
}

var newlines = strings.NewReplacer("\r", " ", "\n", " ")

// hasTrailers tells whether a header announces trailers, or holds one, in either
// of the ways of net/http.
func hasTrailers(h http.Header) bool {
	for name := range h {
		if http.CanonicalHeaderKey(name) == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// isToken tells whether s may be the name of a header, by RFC 9110, section 5.1.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// set holds the names in the spelling of net/http.
func set(names ...string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, name := range names {
		s[http.CanonicalHeaderKey(name)] = true
	}
	return s
}
