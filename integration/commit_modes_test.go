package integration

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

func withFate(judge func(*pgwire.Trip) pgwire.Fate) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { pgwire.Inject(&p.ConnConfig.Config, judge) }
}

// In some of its modes pgx says of a batch that was sent, and whose answer was lost,
// that it may be sent again (SafeToRetry). A COMMIT that has landed must not be taken
// for one that was not reached, whatever the next connection meets.
func TestLostAnswerToCommitInEveryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			var lost, dropped atomic.Bool
			f := newFixture(t, withExecMode(mode), withMaxAttempts(1), withFate(func(trip *pgwire.Trip) pgwire.Fate {
				switch {
				case trip.Commits() && trip.Has("WITH stored AS"):
					lost.Store(true)
					return pgwire.Swallow
				case lost.Load() && trip.Has("AS held") && dropped.CompareAndSwap(false, true):
					return pgwire.Drop // a new attempt, of which there is no need
				}
				return pgwire.Deliver
			}))
			reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
			require.NoError(t, err)
			require.True(t, lost.Load())
			require.False(t, reply.Replayed)
			requireOnce(f, "k", reply)
		})
	}
}

// A claim whose answer was lost may have landed, and is given back.
func TestLostAnswerToClaimInEveryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			var lost atomic.Bool
			f := newFixture(t, withExecMode(mode), withConfig(refusing), withFate(func(trip *pgwire.Trip) pgwire.Fate {
				if trip.Has("AS existing") && trip.Commits() && lost.CompareAndSwap(false, true) {
					return pgwire.Swallow
				}
				return pgwire.Deliver
			}))
			work := func(ctx context.Context) (order, error) { return f.effect(ctx, f.pool, "k") }
			_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), work)
			require.Error(t, err)
			require.True(t, lost.Load())
			_, err = idemtx.DoPool(t.Context(), f.store, f.request("k"), work)
			require.NoError(t, err)
		})
	}
}
