package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func batchCancelledBeforehandRunsNothing(t *testing.T, via option) {
	f := newFixture(t, via)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.batch(ctx, f.request("k"), f.ordering("k"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
	require.Zero(t, f.runs()+f.rows("k"))
	f.idle()
}

// COMMIT is on its way while the work is done. When its caller has gone, the outcome
// is unknown, and the same request finds out.
//
//	A:   BEGIN, the work, COMMIT ──▶ the work waits
//	A:   its context ends; the outcome is unknown
//	A:   is done, or ended by pgx's cancel request
//	B:   waits for A's transaction; replays, or runs.
func batchCancelledWorkIsNotDoneTwice(t *testing.T, via option) {
	for _, lands := range []bool{true, false} {
		options := []option{via}
		if lands { // the proxy loses cancel requests
			options = append(options, through(newProxy(t)))
		}
		f := newFixture(t, options...)
		open := gated(f)
		ctx, cancel := context.WithCancel(t.Context())
		first := launchBatch(ctx, f, f.request("k"), f.ordering("k", f.gate()))
		f.blocked(1)
		pid := waiter(f)
		cancel()
		first.ends(t)
		require.ErrorIs(t, first.err, idemtx.ErrOutcomeUnknown)
		require.Zero(t, first.reply)

		peer := f.peer()
		second := launchBatch(t.Context(), peer, peer.request("k"), peer.ordering("k"))
		if lands {
			f.blocked(2)
		} else { // A has been ended, and B is at the gate
			require.Eventually(t, func() bool {
				return waiter(f) != 0 && !ask[bool](t, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1)", pid)
			}, patience, tick)
		}
		open()
		second.ends(t)
		require.NoError(t, second.err)
		require.Equal(t, lands, second.reply.Replayed)
		require.Equal(t, 1, f.runs())
		requireOnce(f, "k", second.reply)
	}
}

// An answer that comes when its caller has given up is heard in time.
func TestBatchAnswerThatIsLate(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		wire := newProxy(t)
		f := newFixture(t, through(wire))
		judge, d := delayAnswer((*trip).commits)
		wire.meet(judge)
		ctx, cancel := context.WithCancel(t.Context())
		call := launchBatch(ctx, f, f.request("k"), f.ordering("k"))
		<-d.met
		require.Eventually(t, func() bool { return f.rows("k") == 1 }, patience, tick)
		cancel()
		if gone {
			call.ends(t)
			require.ErrorIs(t, call.err, idemtx.ErrOutcomeUnknown)
			d.passOn()
		} else {
			d.passOn()
			call.ends(t)
			require.NoError(t, call.err)
			require.False(t, call.reply.Replayed)
		}
		again, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.Equal(t, 1, f.runs())
		requireOnce(f, "k", again)
	}
}

// One that gives up in line, or while it waits in PostgreSQL, has done nothing.
func TestBatchContextOfAWaiterEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	peer := f.peer()
	first, end := batchInFlight(t, f, "k", f.ordering("k", f.gate()))
	held := f.locks()
	for _, second := range []*fixture{f, peer} {
		ctx, cancel := context.WithCancel(t.Context())
		waiter := launchBatch(ctx, second, second.request("k"), second.ordering("k"))
		if second == peer {
			f.blocked(2)
		}
		cancel()
		waiter.ends(t)
		require.ErrorIs(t, waiter.err, context.Canceled)
		require.NotErrorIs(t, waiter.err, idemtx.ErrOutcomeUnknown)
		require.Zero(t, waiter.reply)
		require.Eventually(t, func() bool {
			return peer.pool.Stat().AcquiredConns() == 0 && f.locks() == held && f.backends() == 1
		}, patience, tick)
	}
	end()
	require.NoError(t, first.err)
	require.Equal(t, 1, f.runs())
	requireOnce(peer, "k", first.reply)
}
