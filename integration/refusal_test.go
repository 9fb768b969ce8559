package integration

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// A refusal is sent under the key's lock, like every other reply: when its answer is
// lost, a free lock means that it will not land any more.
func TestRefusalIsSentUnderTheLock(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"in its transaction": false, "in an aborted one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var locks atomic.Int64
			f := newFixture(t, withFate(func(trip *pgwire.Trip) pgwire.Fate {
				if trip.Has("WITH stored AS") && trip.Commits() {
					locks.Store(ask[int64](t, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
						AND mode = 'ExclusiveLock' AND granted AND pid = $1`, trip.Backend))
				}
				return pgwire.Deliver
			}))
			reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				if fails {
					_, err := tx.Exec(ctx, "SELECT 1/0")
					require.Error(t, err)
				}
				return order{}, idemtx.ErrRefused
			})
			require.NoError(t, err)
			require.True(t, reply.Refused)
			require.EqualValues(t, 1, locks.Load())
		})
	}
}

// A refusal whose connection is lost before it is sent is run again.
func TestRefusalWhoseConnectionIsLost(t *testing.T) {
	t.Parallel()
	var lost atomic.Bool
	f := newFixture(t, withFate(func(trip *pgwire.Trip) pgwire.Fate {
		if trip.Has("rollback") && trip.Has("pg_advisory_xact_lock(") && lost.CompareAndSwap(false, true) {
			return pgwire.Drop
		}
		return pgwire.Deliver
	}))
	runs := 0
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (order, error) {
		runs++
		return order{}, idemtx.ErrRefused
	})
	require.NoError(t, err)
	require.True(t, lost.Load())
	require.True(t, reply.Refused)
	require.False(t, reply.Replayed)
	require.Equal(t, 2, runs)
}

// One who waits for the key gets it when a refusal lets go of its lock, and may
// keep it for longer than the refusal waits.
func TestRefusalGivesWayForLong(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxWait = 50 * time.Millisecond }))
	peer := f.peer()
	var waiter *ongoing
	answered := make(chan struct{})
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (order, error) {
		waiter = launch(t.Context(), modes[0], peer, f.request("k"), func(ctx context.Context, db execer) (order, error) {
			<-answered
			return f.effect(ctx, db, "k")
		})
		f.blocked(1)
		return order{}, idemtx.ErrRefused
	})
	close(answered)
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	waiter.ends(t)
	require.NoError(t, waiter.err)
	requireOnce(peer, "k", waiter.reply)
}
