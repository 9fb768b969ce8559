package failover

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestOldPrimaryComesBack as it was, which is for an operator to prevent: both
// accept writes, and target_session_attrs takes a client to the one that its URL
// names first.
func TestOldPrimaryComesBack(t *testing.T) {
	t.Parallel()

	// Of what the new one has acknowledged the old one knows nothing, and does it
	// once more.
	t.Run("Asynchronous", func(t *testing.T) {
		t.Parallel()
		p, ctx := newPair(t), patient(t)
		p.failOver()
		c := p.anywhere()
		placed, err := c.do(ctx, "key")
		require.NoError(t, err)
		p.primary.Start()

		again, err := p.anywhere().do(ctx, "key")
		require.NoError(t, err)
		require.False(t, again.Replayed)
		require.Equal(t, 1, p.orders(p.primary, "key"))

		// A client stays where it is connected.
		again, err = c.do(ctx, "key")
		require.NoError(t, err)
		require.True(t, again.Replayed)
		p.requireOneOrder("key", placed)
	})

	// The old one waits for a standby that follows it no more: it acknowledges
	// nothing, neither a new order nor one that it has.
	t.Run("Synchronous", func(t *testing.T) {
		t.Parallel()
		p := newSynchronousPair(t)
		_, err := p.anywhere().do(patient(t), "old")
		require.NoError(t, err)
		p.failOver()
		p.primary.Start()

		ctx, cancel := context.WithCancel(t.Context())
		c := p.anywhere()
		unheard := []<-chan answer{c.start(ctx, modes["Do"], "new"), c.start(ctx, modes["Do"], "old")}
		p.awaitCommits(len(unheard))
		cancel()
		require.ErrorIs(t, (<-unheard[0]).err, idemtx.ErrOutcomeUnknown)
		require.ErrorIs(t, (<-unheard[1]).err, context.Canceled)

		p.primary.Stop()
		reply, err := c.do(patient(t), "old")
		require.NoError(t, err)
		require.True(t, reply.Replayed)
		reply, err = c.do(patient(t), "new")
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		p.requireOneOrder("new", reply)
	})
}
