package failover

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// TestInDoubtCommitIsAskedOfTheNewPrimary: the primary dies between a COMMIT and
// its answer, and the new one knows what has become of it.
func TestInDoubtCommitIsAskedOfTheNewPrimary(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fate pgwire.Fate
		trip int32 // which of the trips with COMMIT is the order's last: it is placed so often
	}{
		"ItWasThere":  {pgwire.Swallow, 1}, // the answer is lost, not the order
		"ItNeverCame": {pgwire.Drop, 2},
	} {
		for mode, place := range whole {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				p := newSynchronousPair(t)
				var trips atomic.Int32
				dying, dead := make(chan struct{}), make(chan struct{})
				die := func() {
					close(dying)
					<-dead
				}
				c := p.anywhere(judged(func(trip *pgwire.Trip) pgwire.Fate {
					if !trip.Commits() || !trip.Has("INSERT INTO") || trips.Add(1) > 1 {
						return pgwire.Deliver
					}
					if test.fate == pgwire.Drop {
						die()
					} else {
						trip.Answered = die
					}
					return test.fate
				}))
				heard := c.start(patient(t), place, "key")
				<-dying
				p.failOver()
				close(dead)
				got := <-heard
				require.NoError(t, got.err)
				require.False(t, got.reply.Replayed, "it was this call that placed the order")
				require.Equal(t, test.trip, trips.Load())
				p.requireOneOrder("key", got.reply)
			})
		}
	}

	// The primary has committed and waits for its standby, which has not heard of
	// it: what only the old primary has is of no account.
	t.Run("OnlyTheOldOneHasIt", func(t *testing.T) {
		t.Parallel()
		p := newSynchronousPair(t)
		p.standby.Freeze()
		heard := p.anywhere().start(patient(t), modes["Do"], "key")
		p.awaitCommit()
		p.failOver()
		got := <-heard
		require.NoError(t, got.err)
		p.requireOneOrder("key", got.reply)
		p.primary.Start()
		require.Equal(t, 1, p.orders(p.primary, "key"), "the old primary has one, too")
	})
}
