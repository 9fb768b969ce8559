// Package floors is what no way to make a request idempotent can be faster than,
// as long as it writes each reply down and does so in the work's transaction.
package floors

import "github.com/idemtx/idemtx/benchmarks/contender"

// The floors that others are compared with.
const (
	PlainTransaction = "plain transaction"
	BareSelect       = "bare SELECT"
	OneStatement     = "one-statement CTE"
)

// All returns the floors.
func All() []contender.Contender {
	return []contender.Contender{
		{
			Name: PlainTransaction, Kind: contender.Floor, Only: contender.First, Open: openPlain,
			About: "BEGIN, effect, COMMIT; not idempotent at all; 3 round trips, 1 commit",
		},
		{
			Name: BareSelect, Kind: contender.Floor, Only: contender.Replay, Open: openSelect,
			About: "SELECT of the stored reply by primary key, and nothing beside it; 1 round trip",
		},
		{
			Name: OneStatement, Kind: contender.Floor, Open: openStatement,
			About: "lookup, effect and reply in one statement, which only a handler that is one statement can be; atomic; 1 round trip, 1 commit",
		},
	}
}
