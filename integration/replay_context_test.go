package integration

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// borrowed is a context as some frameworks have it: when its request is over, it is
// that of another one.
type borrowed struct {
	context.Context //nolint:containedctx // it is one
	t               *testing.T
	over            chan struct{}
}

func (b *borrowed) Value(key any) any {
	select {
	case <-b.over:
		b.t.Error("the context is asked after the call")
	default:
	}
	return b.Context.Value(key)
}

// lateRollbacks holds rollbacks back until a call is over, and asks their context, as
// tracers do.
type lateRollbacks struct {
	over  chan struct{}
	begun atomic.Int64
}

func (l *lateRollbacks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if d.SQL == "rollback" {
		l.begun.Add(1)
		<-l.over
		ctx.Value(l)
	}
	return ctx
}

func (*lateRollbacks) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A replay does not wait for its rollback, which then has nothing of the caller's.
func TestAReplayLeavesItsContextAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	late := &lateRollbacks{over: make(chan struct{})}
	pool, store := f.open(withTracer(late)) // which has not seen the key yet
	ctx := &borrowed{t.Context(), t, late.over}
	reply, err := idemtx.Do(ctx, store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	close(late.over)
	pool.Close() // when the connection has been given back
	require.EqualValues(t, 1, late.begun.Load())
}
