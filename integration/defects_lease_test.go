package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// pooled is the mode with a lease.
var pooled = modes[2]

// longLease is not renewed while a test runs.
func longLease(_ *pgxpool.Config, c *idemtx.Config) { c.Lease = time.Hour }

// A claim that is marked with anything but the request's own fingerprint hides
// that another request uses its key: that one is told to try again, and then
// gets a reply that is not to its question.
func TestDefectInFlightHidesMismatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := start(t, pooled, f, "k")
	r := f.request("k")
	want, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	require.Equal(t, want[:], ask[[]byte](t, "SELECT fingerprint FROM "+f.table()))
	for _, policy := range []idemtx.Duplicate{idemtx.Refuse, idemtx.Wait} {
		for _, m := range modes {
			other := f.other("k")
			other.OnDuplicate = policy
			_, err := m.do(t.Context(), f.peer(), other, mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch, m.name)
		}
	}
	_, err = p.finish(nil)
	require.NoError(t, err)
}

// The first holder of a claim is slow, the second fails, the third is at work.
// What the first still writes must not be taken for the third's, whose key it is,
// although the row looks the same as the first has left it:
//
//	A: claim        ... lease ends ...                 save or release
//	B:                             claim, release
//	C:                                            claim                 save
func TestDefectStaleOwner(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, ending := range map[string]error{"save": nil, "release": failed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, longLease)
			a := start(t, pooled, f, "k")
			f.expire("k")
			_, err := start(t, pooled, f.peer(longLease), "k").finish(failed)
			require.ErrorIs(t, err, failed)
			require.Zero(t, f.rows("k"))
			c := start(t, pooled, f.peer(longLease), "k")

			late, err := a.finish(ending)
			if ending == nil {
				// The work is done, and its reply is not the one that is kept.
				require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
				require.NotZero(t, late.Value)
			} else {
				require.ErrorIs(t, err, failed)
			}
			_, err = pooled.do(t.Context(), f.peer(withConfig(refusing)), f.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			kept, err := c.finish(nil)
			require.NoError(t, err)
			again, err := pooled.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.NoError(t, err)
			require.Equal(t, kept.Value, again.Value)
			require.NotEqual(t, late.Value, again.Value)
		})
	}
}

// A save that comes after the next holder's would replace a reply that clients
// have seen.
func TestDefectStaleSaveReplacesAReply(t *testing.T) {
	t.Parallel()
	for _, next := range modes {
		t.Run(string(next.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, longLease)
			a := start(t, pooled, f, "k")
			f.expire("k")
			kept, err := next.do(t.Context(), f.peer(), f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, kept.Replayed)
			_, err = a.finish(nil)
			require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			again, err := next.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.NoError(t, err)
			require.Equal(t, kept.Value, again.Value)
		})
	}
}

// A lease that ends before the handler does lets another one run beside it.
func TestDefectLeaseShorterThanHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Lease = 4 * time.Second }))
	p := start(t, pooled, f, "k")
	for range 2 {
		until := ask[time.Time](t, "SELECT lease_until FROM "+f.table())
		require.Eventually(t, func() bool {
			return ask[bool](t, "SELECT clock_timestamp() > $1 AND lease_until > clock_timestamp() FROM "+f.table(), until)
		}, time.Minute, 10*time.Millisecond)
		_, err := pooled.do(t.Context(), f.peer(withConfig(refusing)), f.request("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
	}
	_, err := p.finish(nil)
	require.NoError(t, err)
	require.Equal(t, 1, f.effects("k"))
}

// A handler that has lost its key goes on working beside its successor unless it
// is told.
func TestDefectLostLeaseUnnoticed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Lease = time.Second }))
	_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(ctx context.Context) (order, error) {
		exec(t, "UPDATE "+f.table()+" SET lease_id = gen_random_uuid()") // taken over
		select {
		case <-ctx.Done():
			return order{}, context.Cause(ctx)
		case <-time.After(time.Minute): // many times the lease
			return order{}, errors.New("nobody has told the handler")
		}
	})
	require.ErrorContains(t, err, "the lease ran out")
	require.Equal(t, 1, f.rows("k"), "it is the successor's")
}

// A handler that has succeeded has not failed because its reply could not be
// saved. If the key were given back, the retry would do the work again.
func TestDefectFailedSaveTakenForFailedHandler(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(mode), longLease)
			noReplies(t, f)
			reply, err := pooled.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			require.NotZero(t, reply.Value.Number, "the work is done, and this is its reply")
			for _, m := range modes {
				r := f.request("k")
				r.OnDuplicate = idemtx.Refuse
				_, err = m.do(t.Context(), f, r, mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrInFlight)
			}
			require.Equal(t, 1, f.effects("k"))
		})
	}
}
