package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A:     save ──▶ is on its way, the network dies
// A:     saves again, and returns the reply
// save:  arrives, and changes nothing: that reply has been told, with its times.
func TestSaveThatArrivesAfterItsRepetition(t *testing.T) { //nolint:paralleltest // a save has two seconds
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	judge, d := delay(t, saves)
	wire.meet(judge)
	reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	written := ask[string](t, "SELECT xmin FROM "+f.table())
	d.release(deliver)
	require.Eventually(t, func() bool {
		return ask[string](t, "SELECT xmin FROM "+f.table()) != written
	}, patience, tick)
	requireOnce(f, "k", reply)
}

// A claim that arrives when its caller has gone belongs to nobody. It holds the
// key for its lease, and no longer.
func TestClaimThatArrivesAfterItsCallerHasGone(t *testing.T) {
	t.Parallel()
	f, d, err := fallsSilent(t, poolMode, claims)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, f.rows("k"))
	d.release(deliver)
	require.Eventually(t, func() bool { return f.rows("k") == 1 }, patience, tick)
	requireInFlight(f, "k")
	f.expire("k")
	reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	requireOnce(f, "k", reply)
}

// A release that arrives when the key has been taken over takes nothing away.
func TestReleaseThatArrivesAfterATakeover(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	judge, d := delay(t, releases)
	wire.meet(judge)
	failed := errors.New("failed")
	call := launch(t.Context(), poolMode, f, f.request("k"), func(context.Context, execer) (order, error) {
		return order{}, failed
	})
	<-d.met
	f.expire("k")
	b := hold(f.peer(), "k")
	d.release(deliver)
	call.ends(t)
	require.ErrorIs(t, call.err, failed)
	require.NotEmpty(t, f.lease("k"))
	b.finish(nil)
	require.NoError(t, b.err)
	requireOnce(f, "k", b.reply)
}
