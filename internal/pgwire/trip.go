// Package pgwire breaks connections to PostgreSQL where a test wants them broken:
// between two messages of the protocol, and not at some moment that a signal or a
// kill happens to meet.
//
// It stands between pgx and the network and needs no proxy, so it works under TLS.
package pgwire

import "strings"

// Trip is what a client sends before it waits for the answer: everything up to a
// Sync, or a simple query.
type Trip struct {
	// Statements are the texts of those that it executes. A trip that only
	// prepares has none.
	Statements []string

	// Backend is the process id of the server's end.
	Backend uint32

	// Answered, when judge sets it, is called when the whole answer has come, and
	// before any of it is given to the client.
	Answered func()

	// Begun, when judge sets it, is waited for before the connection of a trip is cut
	// that is abandoned.
	Begun <-chan struct{}

	fate Fate
}

// Has tells whether one of the trip's statements holds text.
func (t *Trip) Has(text string) bool {
	return strings.Contains(strings.Join(t.Statements, "\n"), text)
}

// Commits tells whether the trip ends with COMMIT. In the simple protocol a batch
// is one text.
func (t *Trip) Commits() bool {
	if len(t.Statements) == 0 {
		return false
	}
	texts := strings.Split(strings.TrimRight(t.Statements[len(t.Statements)-1], "; \n"), ";")
	return strings.EqualFold(strings.TrimSpace(texts[len(texts)-1]), "commit")
}

// Fate is what becomes of a trip.
type Fate int

// In each but the first the connection is cut, which the client notices when it
// reads: what it has written was taken from it, as a network takes it.
const (
	Deliver Fate = iota
	Drop         // before the server hears of it
	Swallow      // when the server has answered the whole of it, of which the client hears nothing
	Abandon      // as soon as the server has it: pgx's cancel request may still reach what it is at
)
