package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// The work has the options that it was promised, at first and when it is run again.
func TestBatchTxOptions(t *testing.T) {
	t.Parallel()
	const level = "SELECT current_setting('transaction_isolation') || ' ' || current_setting('transaction_deferrable') AS note"
	for want, options := range map[string]pgx.TxOptions{
		"read committed off":  {},
		"repeatable read off": {IsoLevel: pgx.RepeatableRead},
		"serializable on":     {IsoLevel: pgx.Serializable, DeferrableMode: pgx.Deferrable},
		"serializable off":    {BeginQuery: "begin isolation level serializable"},
	} {
		f := newFixture(t, withTxOptions(options))
		for range 2 {
			reply, err := f.batch(t.Context(), f.request("k"), batchOf(f.making("k"), level))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.Equal(t, want, reply.Value.Note)
			again, err := f.peer(withTxOptions(options)).batch(t.Context(), f.request("k"), batchOf(level))
			require.NoError(t, err)
			require.True(t, again.Replayed)
			f.expire("k")
		}
		require.Equal(t, 2, f.effects("k"))
	}
}

// A COMMIT of the caller's own is what ends the pipeline.
func TestBatchCommitQuery(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), withTxOptions(pgx.TxOptions{CommitQuery: "commit and no chain"}))
	trips := wire.during(func() {
		reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
		require.NoError(t, err)
		requireOnce(f, "k", reply)
	})
	require.Equal(t, 1, count(trips, func(trip *trip) bool { return trip.has("commit and no chain") && trip.has("idemtx.batch") }))
}

func TestBatchStrictRace(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		f := newFixture(t, level)
		batchRace(t, 20, f, f.peer(level), f.peer(level))
	})
}

// B waits for A in PostgreSQL with a snapshot that does not show A's reply.
func TestBatchStrictWaiterReplays(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		f := newFixture(t, level)
		first, end := batchInFlight(t, f, "k", f.ordering("k", f.gate()))
		b := f.peer(level)
		second := launchBatch(t.Context(), b, b.request("k"), b.ordering("k"))
		f.blocked(2)
		end()
		require.NoError(t, first.err)
		second.ends(t)
		require.NoError(t, second.err)
		require.True(t, second.reply.Replayed)
		require.Equal(t, 1, f.runs())
		requireOnce(f, "k", first.reply)
	})
}
