package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/usage"
)

var poolMode = modes[2]

func withLease(d time.Duration) option {
	return withConfig(func(c *idemtx.Config) { c.Lease = d })
}

// held is a call of DoPool whose handler runs until it is told to end.
type held struct {
	*ongoing
	t   testing.TB
	ctx context.Context // the handler's
	end chan error
}

// hold starts a call of DoPool and returns when its handler has done its work.
func hold(f *fixture, key string) *held {
	f.t.Helper()
	h := &held{t: f.t, end: make(chan error, 1)}
	running := make(chan struct{})
	h.ongoing = launch(f.t.Context(), poolMode, f, f.request(key), func(ctx context.Context, db execer) (order, error) {
		o, err := f.effect(ctx, db, key)
		h.ctx = ctx
		close(running)
		select {
		case verdict := <-h.end:
			return o, errors.Join(err, verdict)
		case <-f.t.Context().Done(): // the test has failed
			return o, f.t.Context().Err()
		}
	})
	<-running
	return h
}

// finish lets the handler end with err and waits for the call.
func (h *held) finish(err error) {
	h.t.Helper()
	h.end <- err
	h.ends(h.t)
}

// lease is the claim on a key.
func (f *fixture) lease(key string) string {
	f.t.Helper()
	return ask[string](f.t, "SELECT lease_id::text FROM "+f.table()+" WHERE key = $1 AND lease_until IS NOT NULL", f.stored(key))
}

// endLease lets a lease end, and no other.
func (f *fixture) endLease(id string) {
	f.t.Helper()
	exec(f.t, "UPDATE "+f.table()+" SET lease_until = clock_timestamp() - interval '1 second' "+
		"WHERE lease_until IS NOT NULL AND lease_id = '"+id+"'")
}

// Nobody takes a key over while its handler runs, however short the lease, also
// when the caller is gone.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	const lease = 4 * time.Second
	for _, gone := range []bool{false, true} {
		f := newFixture(t, withLease(lease))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		running, end := make(chan struct{}), make(chan struct{})
		call := launch(ctx, poolMode, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, "k")
			close(running)
			waitFor(t.Context(), end) // and not for its own, which may have ended
			return o, err
		})
		<-running
		if gone {
			cancel()
		}
		first := ask[time.Time](t, "SELECT lease_until FROM "+f.table())
		require.Eventually(t, func() bool {
			return ask[bool](t, "SELECT clock_timestamp() > $1 AND lease_until > clock_timestamp() FROM "+f.table(), first)
		}, patience, tick)
		b := f.peer(withConfig(refusing))
		for _, m := range modes {
			_, err := m.do(t.Context(), b, b.request("k"), mustNotRun(t))
			var inFlight *idemtx.InFlightError
			require.ErrorAs(t, err, &inFlight, m.name)
			require.LessOrEqual(t, inFlight.RetryAfter, lease)
		}
		close(end)
		call.ends(t)
		// The work is done, so its reply is kept, for whoever comes back.
		require.NoError(t, call.err)
		requireOnce(f, "k", call.reply)
	}
}

// A:  claims, works
// A's lease ends
// B:  claims, works, replies
// A:  replies ✗.
func TestLateWriterIsFenced(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		f := newFixture(t, withLease(time.Hour))
		sent := new(sendings)
		b := f.peer(withTracer(sent), withMaxWait(patience))
		a := hold(f, "k")
		var second *ongoing
		if waits { // B is there before the lease ends
			second = launch(t.Context(), poolMode, b, b.request("k"), effect(b, "k"))
			require.Eventually(t, func() bool { return sent.Load() > 1 }, patience, tick)
		}
		f.endLease(f.lease("k"))
		if !waits {
			second = launch(t.Context(), poolMode, b, b.request("k"), effect(b, "k"))
		}
		second.ends(t)
		require.NoError(t, second.err)
		require.False(t, second.reply.Replayed)

		a.finish(nil)
		require.ErrorIs(t, a.err, idemtx.ErrOutcomeUnknown)
		require.NotZero(t, a.reply.Value.Number, "its work is done, and it is told")
		require.NotEqual(t, second.reply.Value, a.reply.Value)
		require.False(t, a.reply.Replayed)
		require.Equal(t, 2, f.effects("k"), "which is what this mode cannot prevent")
		again, err := poolMode.do(t.Context(), f, f.request("k"), mustNotRun(t))
		require.NoError(t, err)
		require.Equal(t, second.reply.Value, again.Value)
		require.Equal(t, 1, f.rows("k"))
		f.idle()
		b.idle()
	}
}

// Do and DoTx take over as well.
func TestTakeoverByATransaction(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		f := newFixture(t, withLease(time.Hour))
		b := f.peer()
		a := hold(f, "k")
		f.endLease(f.lease("k"))
		reply, err := m.do(t.Context(), b, b.request("k"), effect(b, "k"))
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		a.finish(nil)
		require.ErrorIs(t, a.err, idemtx.ErrOutcomeUnknown)
		again, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
		require.NoError(t, err)
		require.Equal(t, reply.Value, again.Value)
		f.idle()
	}
}

// A handler that works on a key which another has taken over is told to stop.
func TestLostLeaseEndsTheContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withLease(time.Second))
	b := f.peer(withLease(time.Hour), withMaxWait(patience))
	a := hold(f, "k")
	require.NoError(t, a.ctx.Err())
	lease := f.lease("k")
	running, end := make(chan struct{}), make(chan struct{})
	second := launch(t.Context(), poolMode, b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
		close(running)
		waitFor(ctx, end)
		return b.effect(ctx, db, "k")
	})
	require.Eventually(t, func() bool { // until B is faster than the renewal
		f.endLease(lease)
		select {
		case <-running:
			return true
		default:
			return false
		}
	}, patience, tick)
	require.Eventually(t, func() bool { return a.ctx.Err() != nil }, patience, tick)
	require.ErrorContains(t, context.Cause(a.ctx), "lease")
	a.finish(a.ctx.Err())
	require.ErrorIs(t, a.err, context.Canceled)
	require.Equal(t, 1, f.rows("k"), "B's claim is not A's to give back")
	close(end)
	second.ends(t)
	require.NoError(t, second.err)
	require.Equal(t, 1, f.rows("k"))
	f.idle()
	b.idle()
}

// An error gives back the own claim and no other's.
func TestReleaseIsFenced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withLease(time.Hour))
	b := f.peer(withLease(time.Hour))
	a := hold(f, "k")
	leaseA := f.lease("k")
	f.endLease(leaseA)
	second := hold(b, "k")
	leaseB := f.lease("k")
	require.NotEqual(t, leaseA, leaseB)
	failed := errors.New("failed")
	a.finish(failed)
	require.ErrorIs(t, a.err, failed)
	require.Equal(t, leaseB, f.lease("k"))
	second.finish(nil)
	require.NoError(t, second.err)
	require.Equal(t, 1, f.rows("k"))

	c := hold(f, "mine")
	c.finish(failed)
	require.ErrorIs(t, c.err, failed)
	require.Zero(t, f.rows("mine"))
	f.idle()
	b.idle()
}

// A claim is a request in flight to every mode: whoever waits gets its reply.
func TestClaimIsInFlight(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		f := newFixture(t)
		sent := new(sendings)
		b := f.peer(withTracer(sent), withMaxWait(patience))
		a := hold(f, "k")
		second := launch(t.Context(), m, b, b.request("k"), mustNotRun(t))
		require.Eventually(t, func() bool { return sent.Load() > 6 }, patience, tick) // it has looked again
		select {
		case <-second.done:
			t.Fatal("it did not wait")
		default:
		}
		a.finish(nil)
		second.ends(t)
		require.NoError(t, second.err, m.name)
		require.True(t, second.reply.Replayed)
		require.Equal(t, a.reply.Value, second.reply.Value)
		requireOnce(b, "k", a.reply)
	}
}

// The claim knows what it is for: another request need not wait to be refused.
func TestMismatchOfAClaimAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.peer(withMaxWait(time.Hour))
	a := hold(f, "k")
	for _, m := range modes {
		_, err := m.do(t.Context(), b, b.other("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrMismatch, m.name)
	}
	a.finish(nil)
	require.NoError(t, a.err)
	f.idle()
	b.idle()
}

// Who waits for a claim in Do uses a connection to look, and none in between.
func TestWaitForAClaimHoldsNoConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	u := usage.New()
	b := f.peer(u.Trace, withMaxWait(patience))
	a := hold(f, "k")
	ctx := usage.For(t.Context(), "k")
	second := launch(ctx, modes[0], b, b.request("k"), mustNotRun(t))
	require.Eventually(t, func() bool {
		_, most := u.Used("k")
		return most == 1
	}, patience, tick)
	unused := 0 // in a row: more often than it is between giving back and taking
	require.Eventually(t, func() bool {
		if unused++; b.pool.Stat().AcquiredConns() > 0 {
			unused = 0
		}
		return unused == 15
	}, patience, tick)
	a.finish(nil)
	second.ends(t)
	require.NoError(t, second.err)
	require.True(t, second.reply.Replayed)
	b.idle()
}
