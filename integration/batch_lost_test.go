package integration

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// pipelined tells that a trip is a whole request.
func pipelined(trip *pgwire.Trip) bool { return trip.Has("idemtx.batch") && trip.Commits() }

// losing lets the first pipeline meet its fate.
func losingBatch(fate pgwire.Fate) (via option, met *atomic.Bool) {
	met = new(atomic.Bool)
	return withFate(func(trip *pgwire.Trip) pgwire.Fate {
		if pipelined(trip) && met.CompareAndSwap(false, true) {
			return fate
		}
		return pgwire.Deliver
	}), met
}

// DoBatch:  BEGIN ... COMMIT ──▶ committed
//
//	◀── ✂ the answer is lost
//
// DoBatch:  waits for the key's lock, finds the row of its own, which is no replay.
func batchAnswerIsLost(t *testing.T, via option) {
	for _, attempts := range []int{1, 3} {
		lost, met := losingBatch(pgwire.Swallow)
		f := newFixture(t, via, lost, withMaxAttempts(attempts))
		reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k", "SELECT 1"))
		require.NoError(t, err)
		require.True(t, met.Load())
		require.False(t, reply.Replayed)
		require.Equal(t, 1, f.runs())
		requireOnce(f, "k", reply)
	}
}

// DoBatch:  BEGIN ... COMMIT ──✂ never arrives
// DoBatch:  lock, look: no row, so it runs again.
func batchNeverArrives(t *testing.T, via option) {
	lost, met := losingBatch(pgwire.Drop)
	f := newFixture(t, via, lost)
	reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.True(t, met.Load())
	require.False(t, reply.Replayed)
	require.Equal(t, 1, f.runs())
	requireOnce(f, "k", reply)
}

// ended is told how calls have ended.
type ended chan idemtx.TraceEndData

func (ended) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }
func (e ended) TraceEnd(_ context.Context, data idemtx.TraceEndData)                  { e <- data }

// An error of a later attempt is no last word when the pipeline may still come, and
// one about the key neither: what is in the way now may be gone by then.
func TestBatchErrorBehindALostPipeline(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(f *fixture){
		"23514": func(f *fixture) { exec(f.t, "ALTER TABLE "+f.schema+".effects ADD CONSTRAINT never CHECK (false)") },
		"": func(f *fixture) {
			_, err := idemtx.Do(f.t.Context(), f.peer().store, f.other("k"), f.handler("k"))
			require.NoError(f.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			var met atomic.Bool
			wire.meet(func(trip *trip) fate {
				if !trip.has("idemtx.batch") || !trip.commits() || !met.CompareAndSwap(false, true) {
					return deliver
				}
				then(f)
				return drop
			})
			_, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.True(t, met.Load())
			require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			require.Equal(t, name, state(err), "what has happened is told, too")
			require.Equal(t, name == "", errors.Is(err, idemtx.ErrMismatch))
			f.idle()
		})
	}
}

// Another process is faster than the question: the row that is found is not of the
// pipeline's own, and a replay.
func TestBatchThatNeverArrivesAndAnotherIsFaster(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	peer := f.peer() // past the proxy
	var met atomic.Bool
	var winner idemtx.Reply[order]
	wire.meet(func(trip *trip) fate {
		if !trip.has("idemtx.batch") || !trip.commits() || !met.CompareAndSwap(false, true) {
			return deliver
		}
		var err error
		winner, err = peer.batch(t.Context(), peer.request("k"), peer.ordering("k"))
		require.NoError(t, err)
		return drop
	})
	reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.True(t, met.Load())
	require.True(t, reply.Replayed)
	require.Equal(t, winner.Value, reply.Value)
	require.Equal(t, 1, f.runs())
	requireOnce(f, "k", winner)
}

// cutOff starts a request whose pipeline is on its way when its client is cut off, and
// returns when the call has ended. Nobody has heard of the pipeline.
func cutOff(t *testing.T, options ...option) (f *fixture, d *delayed, call *ongoing) {
	t.Helper()
	wire := newProxy(t)
	f = newFixture(t, append(options, through(wire))...)
	judge, d := delay(t, func(trip *trip) bool { return trip.has("idemtx.batch") && trip.has("commit") })
	wire.meet(judge)
	call = launchBatch(t.Context(), f, f.request("k"), f.ordering("k"))
	<-d.met
	wire.hangUp()
	call.ends(t)
	return f, d, call
}

// DoBatch:  BEGIN ... COMMIT ──▶ is on its way
//
//	✂ the client's side
//
// DoBatch:  lock, look: nobody has heard of it, so it runs again
// the pipeline: arrives, and finds the key used; or is lost.
func TestBatchThatArrivesAfterItsClientIsCutOff(t *testing.T) {
	t.Parallel()
	for _, lost := range []fate{deliver, drop} {
		inExecModes(t, pipelining, func(t *testing.T, via option) {
			t.Helper()
			f, d, call := cutOff(t, via)
			require.NoError(t, call.err)
			require.False(t, call.reply.Replayed)
			require.Equal(t, 1, f.runs())
			d.release(lost)
			f.idle()
			require.Equal(t, 1, f.runs())
			requireOnce(f, "k", call.reply)
		})
	}
}

// DoBatch:  BEGIN ... COMMIT ──▶ is on its way
//
//	✂ the client's side
//
// DoBatch:  lock, look: nobody has heard of it, so it looks again before it runs again
// the pipeline: arrives just before that, so that its own row is found, which is no replay.
func TestBatchThatArrivesBeforeTheRetry(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3} {
		wire := newProxy(t)
		f := newFixture(t, through(wire), withMaxAttempts(attempts))
		late, d := delay(t, func(trip *trip) bool { return trip.has("idemtx.batch") && trip.has("commit") })
		var again atomic.Bool
		wire.meet(func(trip *trip) fate {
			if trip.has("AS begun_at") && again.CompareAndSwap(false, true) {
				d.release(deliver)
				require.Eventually(t, func() bool { return f.rows("k") == 1 }, patience, tick)
			}
			return late(trip)
		})
		call := launchBatch(t.Context(), f, f.request("k"), f.ordering("k"))
		<-d.met
		wire.hangUp()
		call.ends(t)
		require.NoError(t, call.err)
		require.True(t, again.Load())
		require.False(t, call.reply.Replayed)
		require.Equal(t, 1, f.runs())
		requireOnce(f, "k", call.reply)
	}
}

// With the server out of reach nothing can be found out, and the same request finds
// out later.
func TestBatchWithTheServerOutOfReach(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"committed": swallow, "not committed": drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			ctx, cancel := context.WithCancel(t.Context())
			wire.meet(func(t *trip) fate {
				if !t.has("idemtx.batch") || !t.commits() {
					return deliver
				}
				wire.refuse(true)
				cancel()
				return lost
			})
			reply, err := f.batch(ctx, f.request("k"), f.ordering("k"))
			require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			require.Zero(t, reply)
			wire.refuse(false)
			wire.meet(nil)
			again, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.NoError(t, err)
			require.Equal(t, lost == swallow, again.Replayed)
			require.Equal(t, 1, f.runs())
			requireOnce(f, "k", again)
		})
	}
}

// A backend that dies at the work or at COMMIT has left nothing, and it is run again.
func TestBatchWhoseBackendDies(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"the work", "COMMIT"} {
		f := newFixture(t)
		open := gated(f)
		work := f.ordering("k")
		if at == "the work" {
			work = f.ordering("k", f.making("k"), f.gate(), "DELETE FROM "+f.schema+".effects")
		}
		call := launchBatch(t.Context(), f, f.request("k"), work)
		f.blocked(1)
		ran := f.runs()
		require.Equal(t, 1, ran)
		pid := waiter(f)
		terminate(t, pid)
		require.Eventually(t, func() bool { return waiter(f) != 0 && waiter(f) != pid }, patience, tick)
		open()
		call.ends(t)
		require.NoError(t, call.err)
		require.False(t, call.reply.Replayed)
		requireOnce(f, "k", call.reply)
	}
}

// A pipeline whose backend outlives its connection is waited for.
func TestBatchThatTakesLongerThanItsConnection(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"and lands": false, "and fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			open := gated(f)
			judge, _ := once((*trip).commits, abandon)
			begun := make(chan struct{})
			wire.meet(func(t *trip) fate { t.begun = begun; return judge(t) })
			call := launchBatch(t.Context(), f, f.request("k"), f.ordering("k"))
			f.blocked(1) // the old backend at the gate
			close(begun)
			f.blocked(2) // the question at the key
			require.Equal(t, 1, f.runs())
			if dies {
				endAtTheGate(f)
			}
			open()
			call.ends(t)
			require.NoError(t, call.err)
			require.False(t, call.reply.Replayed)
			require.Equal(t, map[bool]int{false: 1, true: 2}[dies], f.runs())
			requireOnce(f, "k", call.reply)
		})
	}
}
