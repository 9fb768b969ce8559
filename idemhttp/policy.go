package idemhttp

import "net/http"

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

// Policy decides what becomes of replies. The zero value is [IETF].
type Policy struct {
	// Decide is told what the handler has replied and before anything is
	// committed or sent. It may be called more than once for a request, and not
	// at all after a panic, which is forgotten.
	//
	// To keep a transient failure is to repeat it to the client until the reply
	// expires.
	//
	// Defaults to that of [IETF].
	Decide func(status int, header http.Header) Decision
}

// IETF commits 2xx and 3xx and forgets the rest, so that a client may send a
// request that has failed again, with the same key.
var IETF = Policy{Decide: successful}

func successful(status int, _ http.Header) Decision {
	if status >= 200 && status < 400 {
		return Commit
	}
	return Forget
}

func (p Policy) decide(status int, header http.Header) Decision {
	if p.Decide == nil {
		return successful(status, header)
	}
	return p.Decide(status, header)
}
