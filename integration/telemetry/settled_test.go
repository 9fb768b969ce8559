package telemetry

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// once gives the first trip that commits its fate.
func once(fate pgwire.Fate) func(*pgwire.Trip) pgwire.Fate {
	var met atomic.Bool
	return func(t *pgwire.Trip) pgwire.Fate {
		if t.Commits() && t.Has("INSERT") && met.CompareAndSwap(false, true) {
			return fate
		}
		return pgwire.Deliver
	}
}

// A COMMIT whose answer is lost has landed when the server had it, and has not when it
// had not.
func TestALostCommitIsCountedByWhatIsFoundOut(t *testing.T) {
	t.Parallel()
	for fate, settled := range map[pgwire.Fate]idemtx.Settlement{
		pgwire.Swallow: idemtx.SettledCommitted, pgwire.Drop: idemtx.SettledUndone,
	} {
		t.Run(string(settled), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, judged(once(fate)))
			require.NoError(t, ways[0].do(t.Context(), f, request("k"), works))
			require.EqualValues(t, 1, f.count("idemtx.lost_commits"))
			require.EqualValues(t, 1, f.count("idemtx.lost_commits", "idemtx.mode", "Do", "idemtx.settled", string(settled)))
			require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", "first"))
			require.Equal(t, string(settled), f.call()["idemtx.settled"])
			retries := int64(0)
			if settled == idemtx.SettledUndone {
				retries = 1
			}
			require.Equal(t, retries, f.count("idemtx.retries"))
		})
	}
}

// The server is out of reach from the COMMIT on, and the caller has no more time.
func TestACommitOfWhichNothingIsFoundOutIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lost atomic.Bool
	f := newFixture(t, judged(func(t *pgwire.Trip) pgwire.Fate {
		if lost.Load() {
			cancel()
			return pgwire.Drop
		}
		if t.Commits() && t.Has("INSERT") {
			lost.Store(true)
			return pgwire.Swallow
		}
		return pgwire.Deliver
	}))
	require.ErrorIs(t, ways[0].do(ctx, f, request("k"), works), idemtx.ErrOutcomeUnknown)
	require.EqualValues(t, 1, f.count("idemtx.lost_commits", "idemtx.settled", "unknown"))
	require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", "unknown", "error.type", "outcome_unknown"))
	require.Zero(t, f.count("idemtx.active_calls"), "the caller's context has ended")
	require.Equal(t, "unknown", f.call()["idemtx.settled"])
}
