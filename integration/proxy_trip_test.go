package integration

import (
	"strings"
	"sync/atomic"
)

// trip is what a client sends before it waits for the answer: everything up to a
// Sync, or a simple query.
type trip struct {
	statements []string // that are executed
	tags       []string // what the server says of those that succeeded
	idle       bool     // no transaction is open before the trip
	ended      bool     // nor after it
	fate       fate
	answer     <-chan struct{} // closed when the answer may be passed on, unless nil
	begun      <-chan struct{} // closed when the client of one that is abandoned may be cut off, unless nil
}

// fate is what becomes of a trip.
type fate int

const (
	deliver fate = iota
	drop         // the connection is cut before the server hears of it
	swallow      // the server has answered when the connection is cut, and nobody hears
	abandon      // the client is cut off while the server is at it
	shut         // the client's side is closed behind it: the server hears no more, and its answer comes through
	mute         // the server's side is closed instead of its answer: the client hears no more, and is heard
)

// has tells whether one of the trip's statements holds text.
func (t *trip) has(text string) bool {
	return strings.Contains(strings.Join(t.statements, "\n"), text)
}

// commits tells whether this is the trip that ends with COMMIT after something.
func (t *trip) commits() bool {
	return len(t.statements) > 1 && t.statements[len(t.statements)-1] == "commit"
}

// once gives the first trip that matches its fate, and tells when.
func once(match func(*trip) bool, f fate) (judge func(*trip) fate, met *atomic.Bool) {
	met = new(atomic.Bool)
	return func(t *trip) fate {
		if match(t) && met.CompareAndSwap(false, true) {
			return f
		}
		return deliver
	}, met
}

// committed counts the transactions that the server says it has committed: by a
// COMMIT, or by the end of a trip that needed none.
func committed(trips []*trip) int {
	n := 0
	for _, t := range trips {
		wrote := 0
		for _, tag := range t.tags {
			switch verb, _, _ := strings.Cut(tag, " "); verb {
			case "COMMIT":
				n++
			case "INSERT", "UPDATE", "DELETE":
				wrote++
			}
		}
		if t.idle && t.ended && wrote > 0 && !t.has("commit") {
			n++
		}
	}
	return n
}
