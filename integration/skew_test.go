package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// However far the server's clock and the application's are apart, a reply lives and
// a claim holds for as long as they were to, by the server's.
func TestSkewBetweenApplicationAndServer(t *testing.T) {
	t.Parallel()
	const lease = 4 * time.Second
	s := newSkewed(t, year, withLease(lease))
	refuses := s.another(t, withConfig(refusing))
	for _, era := range []string{"ahead", "behind"} {
		for _, m := range modes {
			key := era + string(m.name)
			before := s.now()
			first, err := m.do(t.Context(), s.fixture, s.request(key), effect(s.fixture, key))
			require.NoError(t, err)
			require.False(t, first.CreatedAt.Before(before) || first.CreatedAt.After(s.now()), key)
			require.Equal(t, day, first.ExpiresAt.Sub(first.CreatedAt))
			again, err := m.do(t.Context(), s.fixture, s.request(key), mustNotRun(t))
			require.NoError(t, err)
			require.True(t, again.Replayed)
		}
		n, err := s.store.DeleteExpired(t.Context(), 100)
		require.NoError(t, err)
		require.Zero(t, n)

		// A slow handler keeps its key, and those who come are told how long for.
		slow := hold(s.fixture, era)
		until := s.leaseUntil(era)
		require.Eventually(t, func() bool { return s.now().After(until) }, patience, tick)
		for _, m := range modes {
			_, err := m.do(t.Context(), refuses, refuses.request(era), mustNotRun(t))
			var inFlight *idemtx.InFlightError
			require.ErrorAs(t, err, &inFlight)
			require.LessOrEqual(t, inFlight.RetryAfter, lease)
		}
		slow.finish(nil)
		require.NoError(t, slow.err)
		s.set(t, -year)
		require.True(t, s.now().Before(time.Now().AddDate(0, -11, 0)), "the server's clock is not behind")
	}
	require.Equal(t, 8, s.count("effects"))
}

// The clock is stepped forward while a handler runs, past the end of its lease.
// Whoever comes before the next renewal takes the key over, as after a crash: this
// is what pool mode cannot prevent. The reply that comes late is fenced off.
func TestSkewStepPastTheLease(t *testing.T) {
	t.Parallel()
	s := newSkewed(t, 0, longLease)
	other := s.another(t, longLease, withConfig(refusing))
	for _, m := range modes {
		key := string(m.name)
		slow := hold(s.fixture, key)
		_, err := m.do(t.Context(), other, other.request(key), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)

		s.step(t, 2*time.Hour)
		taken, err := m.do(t.Context(), other, other.request(key), effect(other, key))
		require.NoError(t, err)
		require.False(t, taken.Replayed)
		slow.finish(nil)
		require.ErrorIs(t, slow.err, idemtx.ErrOutcomeUnknown)
		require.NotZero(t, slow.reply.Value.Number)
		again, err := m.do(t.Context(), s.fixture, s.request(key), mustNotRun(t))
		require.NoError(t, err)
		require.Equal(t, taken.Value, again.Value)
	}
}

// When nobody comes, the next renewal finds the key still its own, however late it
// is by the clock. A clock that is stepped back makes the lease no longer than the
// next renewal says.
func TestSkewStepBetweenRenewals(t *testing.T) {
	t.Parallel()
	s := newSkewed(t, 0, withLease(time.Second))
	for key, by := range map[string]time.Duration{"forward": day, "back": -2 * day} {
		slow := hold(s.fixture, key)
		s.step(t, by)
		require.Eventually(t, func() bool {
			left := s.leaseUntil(key).Sub(s.now())
			return left > 0 && left <= time.Second
		}, patience, tick)
		require.NoError(t, slow.ctx.Err())
		slow.finish(nil)
		require.NoError(t, slow.err)
		again, err := idemtx.Do(t.Context(), s.store, s.request(key), s.handler(key))
		require.NoError(t, err)
		require.Equal(t, slow.reply.Value, again.Value)
	}
	require.Equal(t, 2, s.count("effects"))
}

// The clock is stepped back and the holder of a key has died: the key is blocked for
// longer, by as much, and those who come are told. Nothing is done twice.
func TestSkewStepBackBlocksTheKeyForLonger(t *testing.T) {
	t.Parallel()
	s := newSkewed(t, 0, longLease)
	other := s.another(t, withConfig(refusing))
	dead := hold(s.fixture, "k") // for all that the server hears of it
	s.step(t, -day)
	for _, m := range modes {
		_, err := m.do(t.Context(), other, other.request("k"), mustNotRun(t))
		var inFlight *idemtx.InFlightError
		require.ErrorAs(t, err, &inFlight)
		require.Greater(t, inFlight.RetryAfter, day)
		require.LessOrEqual(t, inFlight.RetryAfter, day+time.Hour)
	}
	n, err := s.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.Zero(t, n)
	s.step(t, day+2*time.Hour)
	reply, err := idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	dead.finish(errors.New("it is dead"))
	require.Equal(t, 1, s.count("idemtx_replies"))
}

// The clock is stepped while a handler of Do or DoTx runs. Its transaction is known
// by when it has begun, whatever the clock says meanwhile, and its reply is dated by
// the clock as it is in the end.
func TestSkewStepInATransaction(t *testing.T) {
	t.Parallel()
	s := newSkewed(t, 0)
	for _, m := range modes[:2] {
		for name, by := range map[string]time.Duration{"forward": year, "back": -2 * year} {
			key := string(m.name) + name
			var stepped time.Time
			reply, err := m.do(t.Context(), s.fixture, s.request(key), func(ctx context.Context, db execer) (order, error) {
				s.step(t, by)
				stepped = s.now()
				return s.effect(ctx, db, key)
			})
			require.NoError(t, err)
			require.False(t, reply.CreatedAt.Before(stepped) || reply.CreatedAt.After(s.now()), key)
			require.Equal(t, day, reply.ExpiresAt.Sub(reply.CreatedAt))
			again, err := m.do(t.Context(), s.fixture, s.request(key), mustNotRun(t))
			require.NoError(t, err)
			require.Equal(t, reply.Value, again.Value)
		}
	}
}

// A reply is dead when the clock has passed its end, to all who ask and to the
// sweeper alike, and alive again when the clock was wrong and nobody has used the
// key since.
func TestSkewStepPastTheEndOfAReply(t *testing.T) {
	t.Parallel()
	s := newSkewed(t, 0)
	refuses := s.another(t, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
	first, err := idemtx.Do(t.Context(), s.store, s.request("k"), s.handler("k"))
	require.NoError(t, err)
	for range 2 {
		s.step(t, 2*day)
		_, err = s.store.Get(t.Context(), s.scope, "k")
		require.ErrorIs(t, err, idemtx.ErrNotFound)
		for _, m := range modes {
			_, err = m.do(t.Context(), refuses, refuses.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrExpired)
		}
		s.step(t, -2*day)
		n, err := s.store.DeleteExpired(t.Context(), 100)
		require.NoError(t, err)
		require.Zero(t, n)
		for _, m := range modes {
			again, err := m.do(t.Context(), refuses, refuses.request("k"), mustNotRun(t))
			require.NoError(t, err)
			require.Equal(t, first.Value, again.Value)
		}
	}
	s.step(t, 2*day)
	n, err := s.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	second, err := idemtx.Do(t.Context(), s.store, s.request("k"), s.handler("k"))
	require.NoError(t, err)
	require.False(t, second.Replayed)
}
