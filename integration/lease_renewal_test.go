package integration

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A lease is renewed so often that it outlives two renewals that fail: the third
// comes before it has run out, and so does whoever waits for the key.
func TestLeaseHandlerOutlivesTwoFailedRenewals(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), withLease(12*time.Second))
	var sent atomic.Int64
	held := make(chan bool, 1)
	wire.meet(func(trip *trip) fate {
		if !renews(trip) {
			return deliver
		}
		switch sent.Add(1) {
		case 1, 2:
			return drop
		case 3:
			held <- ask[bool](t, "SELECT lease_until > clock_timestamp() FROM "+f.table())
		}
		return deliver
	})
	a := hold(f, "k")
	select {
	case h := <-held:
		require.True(t, h, "the lease has run out")
	case <-time.After(patience):
		t.Fatal("the lease is not renewed")
	}
	require.NoError(t, a.ctx.Err())
	a.finish(nil)
	require.NoError(t, a.err)
	requireOnce(f, "k", a.reply)
}
