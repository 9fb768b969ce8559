package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/integration/internal/usage"
)

// Hundreds of one key take turns in memory, with one batch among them, and hold one
// connection while others are served.
func TestBatchStorm(t *testing.T) {
	t.Parallel()
	const callers = 300
	u := usage.New()
	f := newFixture(t, withMaxConns(4), u.Trace, withMaxWait(5*time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	open := gated(f)
	work := f.ordering("hot")
	var replays atomic.Int64
	values := make([]order, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			reply, err := f.batch(usage.For(ctx, "hot"), f.request("hot"), work)
			if err != nil {
				t.Error(err)
			}
			if reply.Replayed {
				replays.Add(1)
			}
			values[i] = reply.Value
		})
	}
	f.blocked(1)
	require.Eventually(t, func() bool { return u.Begun() == callers }, 5*time.Minute, time.Millisecond)
	for _, key := range []string{"cold", "colder", "coldest"} {
		_, err := f.batch(usage.For(ctx, key), f.request(key), batchOf(returning))
		require.NoError(t, err)
	}
	_, most := u.Used("hot")
	require.Equal(t, 1, most)

	open()
	wg.Wait()
	require.EqualValues(t, callers-1, replays.Load())
	for _, value := range values {
		require.Equal(t, values[0], value)
	}
	require.Equal(t, 1, f.runs())
	require.Equal(t, 1, f.effects("hot"))
	require.Equal(t, 1, f.rows("hot"))
	f.idle()
}

// Hundreds of keys at once on few connections: none is waited for for ever.
func TestBatchStormOfKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(4), withMaxWait(5*time.Minute))
	var wg sync.WaitGroup
	for i := range 300 {
		key := string(rune('a'+i%10)) + string(rune('a'+i/30))
		wg.Go(func() {
			if _, err := f.batch(t.Context(), f.request(key), f.ordering(key)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 100, ask[int](t, "SELECT count(*) FROM "+f.table()))
	require.Equal(t, 100, ask[int](t, "SELECT count(DISTINCT key) FROM "+f.schema+".effects"))
	require.Equal(t, 100, f.runs())
	f.idle()
}
