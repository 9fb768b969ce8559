package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// A pipeline that is lost counts as an attempt: it may have done its work, or may still
// do it. With no other left, its outcome is unknown.
func TestBatchThatNeverArrivesOnTheLastAttempt(t *testing.T) {
	t.Parallel()
	inExecModes(t, pipelining, func(t *testing.T, via option) {
		t.Helper()
		for _, attempts := range []int{1, 2} {
			lost, _ := losingBatch(pgwire.Drop)
			f := newFixture(t)
			traced, ends := tracedBy(f, via, lost, withMaxAttempts(attempts))
			reply, err := traced.batch(t.Context(), f.request("k"), f.ordering("k"))
			end := <-ends
			require.Equal(t, attempts, end.Attempts)
			if attempts == 1 {
				require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
				require.Equal(t, idemtx.OutcomeUnknown, end.Outcome)
				require.Zero(t, reply)
				f.requireForgotten("k")
				continue
			}
			require.NoError(t, err)
			requireOnce(f, "k", reply)
		}
	})
}

// The pipeline arrives when its caller has the answer that nothing is known.
func TestBatchThatArrivesAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	for _, lost := range []fate{deliver, drop} {
		inExecModes(t, pipelining, func(t *testing.T, via option) {
			t.Helper()
			f, d, call := cutOff(t, via, withMaxAttempts(1))
			require.ErrorIs(t, call.err, idemtx.ErrOutcomeUnknown)
			require.Zero(t, call.reply)
			require.Zero(t, f.runs())
			d.release(lost)
			if lost == deliver { // the server does what it has read before the end
				require.Eventually(t, func() bool { return f.effects("k") == 1 }, patience, tick)
			}
			f.idle()
			again, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.NoError(t, err)
			require.Equal(t, lost == deliver, again.Replayed)
			require.Equal(t, 1, f.runs())
			requireOnce(f, "k", again)
		})
	}
}

func TestBatchWhoseBackendDiesOnTheLastAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	open := gated(f)
	call := launchBatch(t.Context(), f, f.request("k"), f.ordering("k"))
	f.blocked(1)
	terminate(t, waiter(f))
	open()
	call.ends(t)
	require.ErrorIs(t, call.err, idemtx.ErrOutcomeUnknown)
	require.Equal(t, 1, f.runs(), "the work was done again")
	require.Zero(t, f.effects("k")+f.rows("k"))
	f.idle()
}
