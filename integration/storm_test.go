package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// usage is a tracer of a pool and its store. It counts the calls that have begun
// and, at every moment, the connections that are used for a key.
type usage struct {
	begun atomic.Int64

	mu   sync.Mutex
	now  map[string]int
	most map[string]int
	key  map[*pgx.Conn]string
}

func newUsage() *usage {
	return &usage{now: make(map[string]int), most: make(map[string]int), key: make(map[*pgx.Conn]string)}
}

// keyOf is where a context holds the key that a connection is acquired for.
type keyOf struct{}

func (u *usage) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	u.begun.Add(1)
	return ctx
}

func (*usage) TraceEnd(context.Context, idemtx.TraceEndData) {}

func (*usage) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*usage) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*usage) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return ctx
}

func (u *usage) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	key, _ := ctx.Value(keyOf{}).(string)
	if data.Err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.key[data.Conn] = key
	u.now[key]++
	u.most[key] = max(u.most[key], u.now[key])
}

func (u *usage) TraceRelease(_ *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now[u.key[data.Conn]]--
	delete(u.key, data.Conn)
}

func (u *usage) mostFor(key string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.most[key]
}

// A thousand requests of one key take turns in memory. Were each to wait on a
// connection of its own, the pool would be empty for everybody else.
func TestStorm(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], modes[2]} { // DoTx brings its own connection
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			storm(t, m)
		})
	}
}

func storm(t *testing.T, m mode) {
	t.Helper()
	const callers = 1000
	u := newUsage()
	f := newFixture(t, withMaxConns(4), withTracer(u), withConfig(func(c *idemtx.Config) {
		c.Tracer, c.MaxWait = u, 5*time.Minute
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	running, release := make(chan struct{}), make(chan struct{})
	var runs, replays atomic.Int64
	values := make([]order, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			reply, err := m.do(context.WithValue(ctx, keyOf{}, "hot"), f, f.request("hot"),
				func(ctx context.Context, db execer) (order, error) {
					o, err := f.effect(ctx, db, "hot")
					if runs.Add(1) == 1 {
						close(running)
						waitFor(ctx, release)
					}
					return o, err
				})
			if err != nil {
				t.Error(err)
			}
			if reply.Replayed {
				replays.Add(1)
			}
			values[i] = reply.Value
		})
	}
	<-running
	require.Eventually(t, func() bool { return u.begun.Load() == callers }, 5*time.Minute, time.Millisecond)

	// All are under way. One connection is used for them, and another key's
	// requests are served.
	for _, key := range []string{"cold", "colder", "coldest"} {
		_, err := m.do(context.WithValue(ctx, keyOf{}, key), f, f.request(key), effect(f, key))
		require.NoError(t, err)
	}
	require.Equal(t, 1, u.mostFor("hot"))

	close(release)
	wg.Wait()
	require.EqualValues(t, 1, runs.Load())
	require.EqualValues(t, callers-1, replays.Load())
	for _, value := range values {
		require.Equal(t, values[0], value)
	}
	require.Equal(t, 1, f.effects("hot"))
	require.Equal(t, 1, f.rows("hot"))
	// Two: one that ends its transaction, one that begins.
	require.LessOrEqual(t, u.mostFor("hot"), 2)
	f.idle()
}
