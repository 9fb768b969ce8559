package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// sweepLog is a tracer that hears of the sweeper's batches.
type sweepLog struct {
	mu   sync.Mutex
	told []idemtx.TraceSweepData
}

func (*sweepLog) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }

func (*sweepLog) TraceEnd(context.Context, idemtx.TraceEndData) {}

func (s *sweepLog) TraceSweep(_ context.Context, data idemtx.TraceSweepData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data.Duration = 0
	s.told = append(s.told, data)
}

func (s *sweepLog) all() []idemtx.TraceSweepData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]idemtx.TraceSweepData(nil), s.told...)
}

// While one replica is at a batch, another leaves it to that one. The batch is held at
// a row that a trigger does not let go.
func TestSweepersTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired(f, 3)
	gate := "hashtext('" + f.schema + "')"
	exec(t, `CREATE FUNCTION `+f.schema+`.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock(`+gate+`); RETURN OLD;
		END $$;
		CREATE TRIGGER wait BEFORE DELETE ON `+f.table()+` FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.wait()`)
	holder, err := superuser.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_xact_lock("+gate+")")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first, second := new(sweepLog), new(sweepLog)
	a := f.peer(withConfig(func(c *idemtx.Config) { c.Tracer = first }))
	b := f.peer(withConfig(func(c *idemtx.Config) { c.Tracer = second }))
	ended := make(chan error, 2)
	go func() { ended <- a.store.RunSweeper(ctx, time.Hour) }()
	f.blocked(1)
	go func() { ended <- b.store.RunSweeper(ctx, tick) }()
	require.Eventually(t, func() bool { return len(second.all()) > 1 }, patience, tick)
	require.Equal(t, idemtx.TraceSweepData{Skipped: true}, second.all()[0])
	require.Empty(t, first.all())

	turn := ask[int64](t, `SELECT classid::int8 << 32 | objid::int8 FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1 AND application_name = $1`, f.schema)

	require.NoError(t, holder.Rollback(t.Context()))
	require.Eventually(t, func() bool { return len(first.all()) == 1 && len(f.keys()) == 0 }, patience, tick)
	require.Equal(t, idemtx.TraceSweepData{Deleted: 3}, first.all()[0])
	seen := len(second.all())
	require.Eventually(t, func() bool { return len(second.all()) > seen+1 }, patience, tick)
	require.Equal(t, idemtx.TraceSweepData{}, second.all()[len(second.all())-1], "the lock has not been let go")

	// It is for sweepers; who asks for a batch gets one.
	holder, err = superuser.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", turn)
	require.NoError(t, err)
	expired(f, 3)
	seen = len(second.all())
	require.Eventually(t, func() bool { return len(second.all()) > seen+1 }, patience, tick)
	require.Equal(t, idemtx.TraceSweepData{Skipped: true}, second.all()[len(second.all())-1])
	n, err := f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.NoError(t, holder.Rollback(t.Context()))
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
	f.idle()
}

func TestTracerHearsOfASweepThatFails(t *testing.T) {
	t.Parallel()
	told := new(sweepLog)
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Tracer = told }))
	exec(t, "DROP TABLE "+f.table())
	_, err := f.store.DeleteExpired(t.Context(), 10)
	require.Error(t, err)
	require.Equal(t, []idemtx.TraceSweepData{{Err: err}}, told.all())
}
