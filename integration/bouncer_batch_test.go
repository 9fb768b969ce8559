//go:build unix

package integration

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// batched is a DoBatch that does the work of effect.
func batched(t *testing.T, f *fixture, r idemtx.Request) (idemtx.Reply[order], error) {
	t.Helper()
	work := &pgx.Batch{}
	work.Queue("SELECT pg_backend_pid()")
	work.Queue("INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id AS number", r.Key)
	return idemtx.DoBatch[order](t.Context(), f.store, r, work)
}

// A pipeline is one transaction, and comes to one backend as a whole; the next one,
// and what is asked after it, to another.
func TestBouncerAndDoBatch(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, exec := range b.execModes() {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, b.to(b.database(t), exec), withMaxConns(1))
			for _, key := range []string{"a", "b", "c"} {
				first, err := batched(t, f, f.request(key))
				require.NoError(t, err)
				require.False(t, first.Replayed)
				again, err := batched(t, f, f.request(key))
				require.NoError(t, err)
				require.True(t, again.Replayed)
				require.Equal(t, first.Value, again.Value)
				requireOnce(f, key, first)

				other := f.request(key)
				other.Payload = "something else"
				_, err = batched(t, f, other)
				require.ErrorIs(t, err, idemtx.ErrMismatch)
			}

			fails := &pgx.Batch{}
			fails.Queue("INSERT INTO " + f.schema + ".effects (key) VALUES ('d')")
			fails.Queue("INSERT INTO " + f.schema + ".effects (key) VALUES (NULL) RETURNING id AS number")
			_, err := idemtx.DoBatch[order](t.Context(), f.store, f.request("d"), fails)
			require.Equal(t, "23502", state(err), err)
			require.Zero(t, f.effects("d"))
			reply, err := batched(t, f, f.request("d"))
			require.NoError(t, err)
			requireOnce(f, "d", reply)
			f.idle()
			require.EqualValues(t, 1, f.pool.Stat().NewConnsCount())
		})
	}
}

// Whoever asks what has become of a pipeline asks on another backend.
func TestBouncerAndAPipelineThatIsLost(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, exec := range b.execModes() {
		for name, fate := range map[string]pgwire.Fate{
			"never arrives": pgwire.Drop, "is not answered": pgwire.Swallow, "is abandoned": pgwire.Abandon,
		} {
			t.Run(exec.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				via, met := losing(fate)
				f := newFixture(t, b.to(b.database(t), exec), via)
				reply, err := batched(t, f, f.request("k"))
				require.NoError(t, err)
				require.True(t, met.Load())
				// What was abandoned may come after what is done in its place.
				require.True(t, !reply.Replayed || fate == pgwire.Abandon)
				requireOnce(f, "k", reply)
			})
		}
	}
}

// A pipeline with the name of a statement that its backend does not know, or knows
// already, does nothing.
func TestBouncerAndDoBatchWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	if b.prepares {
		b = newBouncer(t, "max_prepared_statements = 0")
	}
	database := b.database(t)
	f := newFixture(t, b.to(database, pgx.QueryExecModeExec))
	caching := f.peer(b.to(database, pgx.QueryExecModeCacheStatement), withMaxConns(2))
	failed, done := 0, 0
	for range 10 {
		_, err := batched(t, caching, caching.request("k"))
		switch {
		case err == nil:
			done = 1
		case errors.Is(err, idemtx.ErrOutcomeUnknown):
			require.FailNow(t, "PostgreSQL has said what is wrong", err)
		default:
			require.Contains(t, []string{"26000", "42P05"}, state(err), err)
			failed++
		}
		require.Equal(t, done, f.effects("k"))
		require.Equal(t, done, f.rows("k"))
	}
	require.NotZero(t, failed)
}
