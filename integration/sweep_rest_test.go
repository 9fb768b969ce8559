package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// sweepTimes is when the sweeper's batches began and ended.
type sweepTimes struct{ began, ended []time.Time }

type sweepMark struct{}

func (s *sweepTimes) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	if !slices.ContainsFunc(d.Batch.QueuedQueries, func(q *pgx.QueuedQuery) bool { return strings.Contains(q.SQL, "DELETE FROM") }) {
		return ctx
	}
	s.began = append(s.began, time.Now())
	return context.WithValue(ctx, sweepMark{}, true)
}

func (s *sweepTimes) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) {
	if ctx.Value(sweepMark{}) != nil {
		s.ended = append(s.ended, time.Now())
	}
}

func (*sweepTimes) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*sweepTimes) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*sweepTimes) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A sweeper with much to delete leaves three quarters of the time to requests. A
// machine that is busy only has it rest for longer.
func TestSweeperRestsThreeTimesAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	times := new(sweepTimes)
	f := newFixture(t, withTracer(times))
	expired(f, 2500)
	ctx, stop := context.WithCancel(t.Context())
	swept := make(chan error, 1)
	go func() { swept <- f.store.RunSweeper(ctx, time.Hour) }()
	require.Eventually(t, func() bool { return len(f.keys()) == 0 }, patience, tick)
	stop()
	require.ErrorIs(t, <-swept, context.Canceled)
	require.Len(t, times.ended, 3)
	for i := range 2 {
		worked, rested := times.ended[i].Sub(times.began[i]), times.began[i+1].Sub(times.ended[i])
		require.GreaterOrEqual(t, rested, 3*worked)
	}
}
