//go:build unix

package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// A statement that was prepared on one backend is unknown to the next, or known
// already. That is an error, and undoes what was done.
func TestBouncerWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	if b.prepares {
		b = newBouncer(t, "max_prepared_statements = 0")
	}
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			database := b.database(t)
			f := newFixture(t, b.to(database, pgx.QueryExecModeExec))
			caching := f.peer(b.to(database, pgx.QueryExecModeCacheStatement), withMaxConns(2))
			failed, done := 0, 0
			for range 10 {
				_, err := m.do(t.Context(), caching, f.request("k"), effect(caching, "k"))
				if err == nil {
					done = 1
				} else {
					require.Contains(t, []string{"26000", "42P05"}, state(err), err)
					failed++
				}
				require.Equal(t, done, f.effects("k"))
				require.Equal(t, done, f.rows("k"))
			}
			require.NotZero(t, failed)
		})
	}
}

// QueryExecModeDescribeExec names no statement: what it describes in one trip it
// runs in the next, on whatever backend that comes to, where another client has
// put its own statement in the meantime. Nobody notices.
//
//	A:  parse and describe "mine"
//	B:  parse and run "theirs"
//	A:  run
func TestBouncerMixesUpWhatHasNoName(t *testing.T) {
	t.Parallel()
	b := newBouncer(t, "default_pool_size = 1")
	theirs := b.connect(t, "shared")
	defer theirs.Close(t.Context())
	pool := newPool(t, func(p *pgxpool.Config) {
		b.to("shared", pgx.QueryExecModeDescribeExec)(p, nil)
		pgwire.Inject(&p.ConnConfig.Config, func(trip *pgwire.Trip) pgwire.Fate {
			if trip.Has("mine") {
				var got string
				err := theirs.QueryRow(t.Context(), "SELECT 'theirs'", pgx.QueryExecModeExec).Scan(&got)
				if err != nil || got != "theirs" {
					t.Error(got, err)
				}
			}
			return pgwire.Deliver
		})
	})
	var got string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT 'mine'").Scan(&got))
	require.Equal(t, "theirs", got)
}
