package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/usage"
)

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
	u := usage.New()
	f := newFixture(t, withMaxConns(4), u.Trace, withConfig(func(c *idemtx.Config) {
		c.MaxWait = 5 * time.Minute
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	running, release := make(chan struct{}), make(chan struct{})
	var runs, replays atomic.Int64
	values := make([]order, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			reply, err := m.do(usage.For(ctx, "hot"), f, f.request("hot"),
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
	require.Eventually(t, func() bool { return u.Begun() == callers }, 5*time.Minute, time.Millisecond)

	// All are under way. One connection is used for them, and another key's
	// requests are served.
	for _, key := range []string{"cold", "colder", "coldest"} {
		_, err := m.do(usage.For(ctx, key), f, f.request(key), effect(f, key))
		require.NoError(t, err)
	}
	_, most := u.Used("hot")
	require.Equal(t, 1, most)

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
	_, most = u.Used("hot")
	require.LessOrEqual(t, most, 2)
	f.idle()
}
