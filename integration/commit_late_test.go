package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// impatient is DoTx in a transaction that is committed as long as its caller is
// there, and not beyond.
var impatient = mode{idemtx.ModeDoTx, true, func(ctx context.Context, f *fixture, r idemtx.Request, fn work) (reply idemtx.Reply[order], err error) {
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		reply, err = idemtx.DoTx(ctx, f.store, tx, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return fn(ctx, tx) })
		return err
	})
	return reply, err
}}

// fallsSilent starts a request in mode m whose first trip that matches gets stuck
// in a network that has died, and returns when its caller has given up.
func fallsSilent(t *testing.T, m mode, match func(*trip) bool) (f *fixture, d *delayed, err error) {
	t.Helper()
	wire := newProxy(t)
	f = newFixture(t, through(wire))
	judge, d := delay(t, match)
	wire.meet(judge)
	ctx, cancel := context.WithCancel(t.Context())
	call := launch(ctx, m, f, f.request("k"), effect(f, "k"))
	<-d.met
	cancel()
	call.ends(t)
	return f, d, call.err
}

// launchDo calls Do in another goroutine.
func launchDo(ctx context.Context, f *fixture, fn func(context.Context, pgx.Tx) (order, error)) *ongoing {
	return launch(ctx, modes[0], f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		return fn(ctx, db.(pgx.Tx))
	})
}

// retries sends the request again in each mode, each time from a process that has
// a network of its own. They are in flight until the old transaction is over.
func retries(t *testing.T, f *fixture) (calls map[*ongoing]*fixture) {
	t.Helper()
	refuse := f.request("k")
	refuse.OnDuplicate = idemtx.Refuse
	calls = make(map[*ongoing]*fixture)
	for _, m := range modes {
		peer := f.peer()
		_, err := m.do(t.Context(), peer, refuse, mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
		calls[launch(t.Context(), m, peer, peer.request("k"), effect(peer, "k"))] = peer
	}
	f.blocked(len(modes))
	return calls
}

// handled waits for the end of calls, and counts those whose handler ran.
func handled(t *testing.T, calls map[*ongoing]*fixture) (ran int) {
	t.Helper()
	for call := range calls {
		call.ends(t)
		require.NoError(t, call.err)
		if !call.reply.Replayed {
			ran++
		}
	}
	return ran
}

// Do:     ... COMMIT ──▶ is on its way, the network dies
// caller: has gone; the outcome is unknown
// retry:  lock ✗, waits
// COMMIT: arrives, or is lost with its connection
// retry:  replays, or runs.
func TestCommitThatArrivesDuringTheRetry(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"and lands": deliver, "and is lost": drop} {
		for _, m := range []mode{modes[0], impatient} {
			t.Run(string(m.name)+" "+name, func(t *testing.T) {
				t.Parallel()
				f, d, err := fallsSilent(t, m, func(trip *trip) bool { return trip.has("commit") && !trip.has("begin") })
				require.Equal(t, m.name == idemtx.ModeDo, errors.Is(err, idemtx.ErrOutcomeUnknown), err)
				calls := retries(t, f)
				d.release(lost)
				ran := handled(t, calls)
				require.Equal(t, map[fate]int{deliver: 0, drop: 1}[lost], ran)
				for call, peer := range calls {
					requireOnce(peer, "k", call.reply)
				}
			})
		}
	}
}

// Do:     ... COMMIT ──▶ is on its way
//
//	✂ the client's side
//
// Do:     lock ... waits: the old backend knows of nothing
// COMMIT: arrives, or is lost with its connection
// Do:     look: the row is there, or is not.
func TestCommitThatArrivesAfterItsClientIsCutOff(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"and lands": deliver, "and is lost": drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			judge, d := delay(t, (*trip).commits)
			wire.meet(judge)
			fn, runs := counting(f, "k")
			call := launchDo(t.Context(), f, fn)
			<-d.met
			wire.hangUp()
			f.blocked(1)
			d.release(lost)
			call.ends(t)
			require.NoError(t, call.err)
			require.False(t, call.reply.Replayed)
			require.EqualValues(t, map[fate]int{deliver: 1, drop: 2}[lost], runs.Load())
			requireOnce(f, "k", call.reply)
		})
	}
}

// An answer that comes when its caller has given up is heard by nobody. In time,
// it is heard although the context has ended.
func TestAnswerToCommitThatIsLate(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		wire := newProxy(t)
		f := newFixture(t, through(wire))
		judge, d := delayAnswer((*trip).commits)
		wire.meet(judge)
		ctx, cancel := context.WithCancel(t.Context())
		fn, runs := counting(f, "k")
		call := launchDo(ctx, f, fn)
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
		again, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.EqualValues(t, 1, runs.Load())
		requireOnce(f, "k", again)
	}
}

// A network that dies before the COMMIT has taken nothing with it but the key, as
// long as the server believes in its client.
func TestNetworkThatDiesInTheHandler(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], impatient} {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f, d, err := fallsSilent(t, m, func(trip *trip) bool { return trip.has(".effects") })
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			calls := retries(t, f)
			d.release(deliver) // too late: nothing comes after it
			ran := handled(t, calls)
			require.Equal(t, 1, ran)
			for call, peer := range calls {
				requireOnce(peer, "k", call.reply)
			}
		})
	}
}
