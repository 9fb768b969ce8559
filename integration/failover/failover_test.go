package failover

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPrimaryDiesUnderLoad and the standby goes on, with the orders and replies
// that it has. They agree, whatever it has not got; with a synchronous standby
// every order that was acknowledged is there, with its number.
func TestPrimaryDiesUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("Synchronous", func(t *testing.T) {
		t.Parallel()
		p, ctx := newSynchronousPair(t), patient(t)
		l := p.load(ctx)
		l.more(ctx, 50)
		p.failOver()
		l.requireNothingLost(ctx)
	})

	// The standby confirms nothing more, so every worker is at a COMMIT whose
	// outcome only the new primary knows.
	t.Run("SynchronousAndInDoubt", func(t *testing.T) {
		t.Parallel()
		p, ctx := newSynchronousPair(t), patient(t)
		l := p.load(ctx)
		l.more(ctx, 50)
		p.standby.Freeze()
		p.awaitCommits(len(modes) * workers)
		p.failOver()
		l.requireNothingLost(ctx)
	})

	// The primary acknowledges what the standby never gets.
	t.Run("Asynchronous", func(t *testing.T) {
		t.Parallel()
		p, ctx := newPair(t), patient(t)
		l := p.load(ctx)
		l.more(ctx, 50)
		p.standby.Freeze()
		l.more(ctx, 50)
		p.failOver()
		requireAgreement(t, p.standby)
		l.finish(50)
		requireAgreement(t, p.standby)
		lost := l.sendAgain(ctx)
		requireAgreement(t, p.standby)
		require.NotZero(t, lost)
		t.Logf("%d of %d acknowledged orders were lost, and made again", lost, len(l.acknowledged))
	})
}
