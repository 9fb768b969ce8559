package idemhttp

import (
	"cmp"
	"net/http"

	"github.com/idemtx/idemtx/idemtx"
)

// Decision is what becomes of a handler's reply and of its writes. The client
// gets the reply in any case.
type Decision int

const (
	// Forget undoes the writes and keeps nothing: a retry runs again. It is the
	// zero value, and what any other value than these three does.
	Forget Decision = iota

	// Keep undoes the writes and keeps the reply, which is final although
	// nothing was done: a declined card, a seat that is gone.
	Keep

	// Commit commits the writes and the reply.
	Commit
)

// Policy says what becomes of replies, and in whose words the middleware speaks.
// The zero value is [IETF]; a field that is left out is as there.
type Policy struct {
	// Decide is told what the handler has replied and before anything is
	// committed or sent. It may be called more than once for a request.
	//
	// It is not asked about what says of itself that it is transient, because to
	// keep that is to repeat it to the client until the reply expires: 408, 425,
	// 429, 502, 503, 504, and any other error with a Retry-After are forgotten, and
	// so is a panic. Nor is an error kept when a statement in [Tx] has failed for a
	// reason that passes. What has failed elsewhere is not seen: answer a timeout of
	// another service with 503 or 504.
	//
	// Defaults to that of [IETF].
	Decide func(status int, header http.Header) Decision

	// OnDuplicate says what a request gets whose key is in flight.
	//
	// Defaults to the store's.
	OnDuplicate idemtx.Duplicate

	// ReplayedHeader is the response header that is "true" on a replay, and not
	// there otherwise, whatever the handler sets.
	//
	// Defaults to "Idempotency-Replayed".
	ReplayedHeader string

	// Problem puts a problem in another form. Retry-After and Content-Length are
	// added to it, and a Status of 0 is the problem's.
	//
	// Defaults to application/problem+json of RFC 9457.
	Problem func(Problem) Response
}

// IETF is for the draft of the Idempotency-Key header. It commits 2xx and 3xx
// and forgets the rest, so that a client may send a request that has failed
// again, with the same key.
var IETF = Policy{Decide: successful}

func successful(status int, _ http.Header) Decision {
	if status >= 200 && status < 400 {
		return Commit
	}
	return Forget
}

// transient tells that a reply is of this moment, by RFC 9110, RFC 8470 and
// RFC 6585.
func transient(status int, header http.Header) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 400 && header.Get("Retry-After") != ""
}

func (p Policy) decide(status int, header http.Header) Decision {
	if transient(status, header) {
		return Forget
	}
	return p.Decide(status, header)
}

func (p Policy) withDefaults() Policy {
	if p.Decide == nil {
		p.Decide = successful
	}
	if p.Problem == nil {
		p.Problem = problemJSON
	}
	p.ReplayedHeader = http.CanonicalHeaderKey(cmp.Or(p.ReplayedHeader, "Idempotency-Replayed"))
	return p
}
