package telemetry

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func TestASweepIsMeasured(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.OnExpired, c.Retention = idemtx.RefuseExpired, 24*time.Hour }))
	_, forgetful := f.open()
	for _, key := range []string{"a", "b", "c"} {
		stored, err := forgetful.Put(t.Context(), whose, key, idemtx.Entry{Response: []byte("1")})
		require.True(t, stored)
		require.NoError(t, err)
	}
	require.NoError(t, ways[0].do(t.Context(), f, request("retained"), works))
	f.age()
	n, err := f.store.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	require.EqualValues(t, 3, f.count("idemtx.sweep.rows", "idemtx.sweep.fate", "deleted"))
	require.EqualValues(t, 1, f.count("idemtx.sweep.rows", "idemtx.sweep.fate", "buried"))
	require.EqualValues(t, 1, f.count("idemtx.sweeps", "idemtx.sweep.outcome", "done"))
	require.EqualValues(t, 1, f.count("idemtx.sweep.duration", "idemtx.sweep.outcome", "done"))
	require.Positive(t, f.took("idemtx.sweep.duration"))
	require.EqualValues(t, 1, f.count("idemtx.sweeps"))
}

// sweeping runs a store's sweeper until the returned function is called.
func sweeping(t *testing.T, store *idemtx.Store, every time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.RunSweeper(ctx, every) }()
	return func() {
		t.Helper()
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
}

// One replica sweeps, and waits at a gate in the middle of a batch. The other one leaves
// its batches out meanwhile.
func TestASweepThatIsLeftToAnotherReplicaIsSkipped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, ways[0].do(t.Context(), f, request("k"), works))
	f.age()
	f.exec(`CREATE FUNCTION {schema}.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_TABLE_SCHEMA, 7));
			RETURN OLD;
		END $$;
		CREATE TRIGGER gate BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.pass()`)
	gate := f.connected()
	_, err := gate.Exec(t.Context(), "SELECT pg_advisory_lock(hashtextextended($1, 7))", f.schema)
	require.NoError(t, err)

	_, replica := f.open(untraced)
	stopReplica := sweeping(t, replica, time.Hour)
	f.blocked()
	stop := sweeping(t, f.store, time.Millisecond)
	require.Eventually(t, func() bool { return f.count("idemtx.sweeps", "idemtx.sweep.outcome", "skipped") > 0 }, patience, tick)
	require.Zero(t, f.count("idemtx.sweeps", "idemtx.sweep.outcome", "done"))
	require.Zero(t, f.count("idemtx.sweep.rows"))

	_, err = gate.Exec(t.Context(), "SELECT pg_advisory_unlock(hashtextextended($1, 7))", f.schema)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return f.count("idemtx.sweeps", "idemtx.sweep.outcome", "done") > 0 }, patience, tick)
	stop()
	stopReplica()
}

func TestAFailedSweepIsCountedByItsError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("DROP TABLE {table}")
	_, err := f.store.DeleteExpired(t.Context(), 10)
	require.Error(t, err)
	require.EqualValues(t, 1, f.count("idemtx.sweeps", "idemtx.sweep.outcome", "failed", "error.type", "schema"))
	stop := sweeping(t, f.store, time.Millisecond)
	require.Eventually(t, func() bool { return f.count("idemtx.sweeps", "idemtx.sweep.outcome", "failed") > 2 }, patience, tick)
	stop()
	require.Zero(t, f.count("idemtx.sweeps", "idemtx.sweep.outcome", "done"))
}
