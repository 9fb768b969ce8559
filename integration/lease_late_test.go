package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A lease that has run out takes nothing from its holder as long as nobody has come
// for the key: what it says late is said in time.
func TestLeaseHandlerIsLateAndNobodyHasCome(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for _, verdict := range []error{nil, idemtx.ErrRefused, failed} {
		f := newFixture(t, longLease)
		late := hold(f, "k")
		f.endLease(f.lease("k"))
		late.finish(verdict)
		if errors.Is(verdict, failed) {
			require.ErrorIs(t, late.err, failed)
			require.Zero(t, f.rows("k"))
			continue
		}
		require.NoError(t, late.err)
		require.Equal(t, verdict != nil, late.reply.Refused)
		requireOnce(f, "k", late.reply)
	}
}

// What cannot be saved is not a failure of the handler, whether it has done the work
// or refused to: the caller gets the reply, with the one error that says so, and the
// key stays claimed.
func TestLeaseHandlerHasRefusedAndCannotBeSaved(t *testing.T) {
	t.Parallel()
	for _, verdict := range []error{nil, idemtx.ErrRefused} {
		f := newFixture(t, longLease)
		noReplies(t, f)
		reply, err := poolMode.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, "k")
			return o, errors.Join(err, verdict)
		})
		require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, idemtx.ErrRefused)
		require.NotErrorIs(t, err, idemtx.ErrReplyNotStorable)
		require.Equal(t, verdict != nil, reply.Refused)
		require.NotZero(t, reply.Value.Number)
		require.NotEmpty(t, f.lease("k"))
		r := f.request("k")
		r.OnDuplicate = idemtx.Refuse
		_, err = poolMode.do(t.Context(), f, r, mustNotRun(t))
		var inFlight *idemtx.InFlightError
		require.ErrorAs(t, err, &inFlight)
		require.Greater(t, inFlight.RetryAfter, 59*time.Minute)
		f.idle()
	}
}

// A holder that has lost its key is told so by its first save. To send it again would
// keep the caller waiting for nothing.
func TestLeaseHandlerThatHasLostItsKeySavesOnce(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), longLease)
	late := hold(f, "k")
	f.endLease(f.lease("k"))
	kept, err := poolMode.do(t.Context(), f.peer(), f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	saved := 0
	for _, trip := range wire.during(func() { late.finish(nil) }) {
		if saves(trip) {
			saved++
		}
	}
	require.ErrorIs(t, late.err, idemtx.ErrOutcomeUnknown)
	require.Equal(t, 1, saved)
	again, err := poolMode.do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.NoError(t, err)
	require.Equal(t, kept.Value, again.Value)
}
