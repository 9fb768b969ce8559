package failover

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// unreplicated has the primary show an order that the standby does not have.
func (p *pair) unreplicated(c *client, key string) {
	p.t.Helper()
	p.standby.Freeze()
	_ = c.start(patient(p.t), modes["DoTx"], key)
	p.awaitCommits(1)
	p.terminateCommits()
	p.awaitShown(key)
}

// TestReplayWhoseWaitIsCancelled by the end of its context is not given, although
// PostgreSQL says then that its COMMIT has succeeded.
func TestReplayWhoseWaitIsCancelled(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]mode{"Do": (*client).do, "DoBatch": (*client).doBatch, "DoPool": (*client).doPool} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newSynchronousPair(t)
			c := p.client(p.primary.URL(), cancelStatements)
			for range 2 { // its statements are prepared
				_, err := again(c, patient(t), "before")
				require.NoError(t, err)
			}
			p.unreplicated(c, "k")
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			heard := c.start(ctx, again, "k")
			p.awaitCommits(1)
			cancel()
			require.ErrorIs(t, (<-heard).err, context.Canceled)
			p.standby.Thaw()
		})
	}
}

// TestReplayInPoolModeBesideAnother waits like the other. Alone it would by its
// claim, which locks the row that it finds; beside one that has the key's lock it
// finds none.
func TestReplayInPoolModeBesideAnother(t *testing.T) {
	t.Parallel()
	p := newSynchronousPair(t)
	c, other := p.client(p.primary.URL()), p.client(p.primary.URL())
	p.unreplicated(c, "k")
	first := c.start(patient(t), modes["Do"], "k")
	p.awaitCommits(1)
	second := other.start(patient(t), modes["DoPool"], "k")
	p.awaitCommits(2)
	require.Empty(t, second)
	p.standby.Thaw()
	for _, heard := range []<-chan answer{first, second} {
		got := <-heard
		require.NoError(t, got.err)
		require.True(t, got.reply.Replayed)
	}
}
