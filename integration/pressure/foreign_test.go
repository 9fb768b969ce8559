package pressure

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/usage"
)

// tripwire is a tracer of pgx that panics when it is told that a batch is sent,
// once for each time that it is set.
type tripwire struct {
	*usage.Tracer
	in atomic.Int64 // batches until it does, from 1
}

func (w *tripwire) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	if w.in.Add(-1) == 0 {
		panic("a tracer's")
	}
	return ctx
}

func (*tripwire) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*tripwire) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// TestTracerPanics: a connection comes back from whichever trip a tracer panics in.
func TestTracerPanics(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, m := range modes { //nolint:paralleltest // as above
		for trip := range int64(2) { // with which a call begins, and with which it ends
			t.Run(string(m.name)+" "+[]string{"begins", "ends"}[trip], func(t *testing.T) {
				left := leaks(t)
				wire := &tripwire{Tracer: usage.New()}
				p := d.of(t).process("tracer", withMaxConns(2), func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.Tracer = wire })
				key := t.Name()
				fn := func(ctx context.Context, db querier) (order, error) { return effect(ctx, db, d.schema, key) }
				wire.in.Store(trip + 1)
				require.Panics(t, func() { _, _ = m.do(t.Context(), p, request(key), fn) })
				p.idle()
				if m.atomic {
					reply, err := m.do(t.Context(), p, request(key), fn)
					require.NoError(t, err)
					require.False(t, reply.Replayed)
					require.Equal(t, 1, d.effects(key))
				}
				p.idle()
				p.pool.Close()
				left()
			})
		}
	}
}

// unencodable is a reply whose encoder panics.
type unencodable struct{}

func (unencodable) MarshalJSON() ([]byte, error) { panic("an encoder's") }

// TestEncoderPanics: the work is undone where it can be. In pool mode it is done, so
// the key stays claimed, as when the reply cannot be stored.
func TestEncoderPanics(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	left := leaks(t)
	p := d.process("encoder", withMaxConns(2))
	require.PanicsWithValue(t, "an encoder's", func() {
		_, _ = idemtx.Do(t.Context(), p.store, request("do"), func(ctx context.Context, tx pgx.Tx) (unencodable, error) {
			_, err := effect(ctx, tx, d.schema, "do")
			return unencodable{}, err
		})
	})
	require.Zero(t, d.effects("do"))
	require.Zero(t, d.rows("do"))
	r := request("pool")
	r.OnDuplicate = idemtx.Refuse
	call := func() (idemtx.Reply[unencodable], error) {
		return idemtx.DoPool(t.Context(), p.store, r, func(ctx context.Context) (unencodable, error) {
			_, err := effect(ctx, p.pool, d.schema, "pool")
			return unencodable{}, err
		})
	}
	require.PanicsWithValue(t, "an encoder's", func() { _, _ = call() })
	_, err := call()
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	require.Equal(t, 1, d.effects("pool"))
	require.Equal(t, 1, d.rows("pool"))
	p.idle()
	p.pool.Close()
	left()
}
