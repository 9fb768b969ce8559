package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// sendings is a pgx tracer that counts what is sent and waited for.
type sendings struct{ atomic.Int64 }

func (s *sendings) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.Add(1)
	return ctx
}

func (s *sendings) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	s.Add(1)
	return ctx
}

func (*sendings) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (*sendings) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*sendings) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// unpinged never pings a connection that was idle for a second, which would be
// one more round trip.
func unpinged(c *pgxpool.Config, _ *idemtx.Config) {
	c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
}

// wired is a fixture behind a proxy, with everything prepared on its one
// connection that the modes and a plain transaction need.
func wired(t *testing.T, exec pgx.QueryExecMode) (*fixture, *proxy, *sendings) {
	t.Helper()
	wire, sent := newProxy(t), new(sendings)
	f := newFixture(t, through(wire), withExecMode(exec), withTracer(sent), withMaxConns(2))
	plainTransaction(f, "warm")
	for _, m := range modes {
		for range 2 {
			_, err := m.do(t.Context(), f, f.request("warm "+string(m.name)), effect(f, "warm"))
			require.NoError(t, err)
			f.idle()
		}
	}
	require.EqualValues(t, 1, f.pool.Stat().TotalConns())
	return f, wire, sent
}

// plainTransaction does the work of an order without idemtx.
func plainTransaction(f *fixture, key string) {
	f.t.Helper()
	require.NoError(f.t, pgx.BeginFunc(f.t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.effect(f.t.Context(), tx, key)
		return err
	}))
}

// preparing are the modes that have nothing left to prepare after a first use.
// QueryExecModeDescribeExec asks for a description each time.
var preparing = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T, pgx.QueryExecMode){
		"Do":      roundTripsOfDo,
		"DoTx":    roundTripsOfDoTx,
		"DoPool":  roundTripsOfDoPool,
		"Replay":  roundTripsOfAReplay,
		"Refusal": roundTripsOfARefusal,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, exec := range preparing {
				t.Run(exec.String(), func(t *testing.T) {
					t.Parallel()
					test(t, exec)
				})
			}
		})
	}
}

// roundTripsOfDo: BEGIN with the lock and the lookup, the handler's statement,
// the reply with COMMIT. That is what the transaction costs without idemtx.
func roundTripsOfDo(t *testing.T, exec pgx.QueryExecMode) {
	t.Helper()
	f, wire, sent := wired(t, exec)
	plain := wire.during(func() { plainTransaction(f, "plain") })
	require.Len(t, plain, 3)
	require.Equal(t, 1, committed(plain))

	sent.Store(0)
	first := wire.during(func() {
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
		require.NoError(t, err)
		require.False(t, reply.Replayed)
	})
	require.Len(t, first, len(plain))
	require.EqualValues(t, len(plain), sent.Load())
	require.Equal(t, 1, committed(first))

	// One transaction has written both, the reply in one version: the next key's
	// is its neighbor in the table.
	require.True(t, ask[bool](t, "SELECT r.xmin = e.xmin FROM "+f.table()+" r, "+f.schema+".effects e "+
		"WHERE r.key = 'k' AND e.key = 'k'"))
	_, err := idemtx.Do(t.Context(), f.store, f.request("next"), f.handler("next"))
	require.NoError(t, err)
	require.True(t, ask[bool](t, "SELECT (b.ctid::text::point - a.ctid::text::point) ~= point(0, 1) "+
		"FROM "+f.table()+" a, "+f.table()+" b WHERE a.key = 'k' AND b.key = 'next'"))
}

// roundTripsOfDoTx: one before the handler and one after it.
func roundTripsOfDoTx(t *testing.T, exec pgx.QueryExecMode) {
	t.Helper()
	f, wire, _ := wired(t, exec)
	tx := transaction(f)
	trips := wire.during(func() {
		_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
		require.NoError(t, err)
	})
	require.Len(t, trips, 3)
	require.Zero(t, committed(trips))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))
}

// roundTripsOfDoPool: the claim and the reply, each with its commit.
func roundTripsOfDoPool(t *testing.T, exec pgx.QueryExecMode) {
	t.Helper()
	f, wire, _ := wired(t, exec)
	trips := wire.during(func() {
		_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(context.Context) (order, error) {
			return order{Number: 1}, nil
		})
		require.NoError(t, err)
	})
	require.Len(t, trips, 2)
	require.Equal(t, 2, committed(trips))
}

// roundTripsOfAReplay: one. Its ROLLBACK, which undoes nothing, is not waited
// for: here it never reaches the server before Do has returned.
func roundTripsOfAReplay(t *testing.T, exec pgx.QueryExecMode) {
	t.Helper()
	f, wire, _ := wired(t, exec)
	// One that has never seen the key, as in another process.
	store, err := idemtx.New(f.pool, idemtx.Config{Schema: f.schema})
	require.NoError(t, err)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	wire.meet(func(t *trip) fate {
		if t.has("rollback") {
			once.Do(func() { close(arrived) })
			<-release
		}
		return deliver
	})
	trips := wire.during(func() {
		reply, err := idemtx.Do(t.Context(), store, f.request("warm Do"), f.handler("warm"))
		require.NoError(t, err)
		require.True(t, reply.Replayed)
	})
	require.Len(t, trips, 1)
	<-arrived
	close(release)
	f.idle()
	require.Zero(t, committed(trips))
	// Nobody has lost patience with the ROLLBACK: its connection is used again.
	_, err = idemtx.Do(t.Context(), store, f.request("warm Do"), f.handler("warm"))
	require.NoError(t, err)
	require.EqualValues(t, 1, f.pool.Stat().NewConnsCount())
	f.idle()
}
