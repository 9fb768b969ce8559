package failover

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestReplayWaitsForTheStandby when the COMMIT of the order has not. Sent again in
// any mode, it is not acknowledged before the standby has it.
func TestReplayWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	get := func(c *client, ctx context.Context, key string) (idemtx.Reply[order], error) {
		_, err := c.store.Get(ctx, c.scope, key)
		return idemtx.Reply[order]{Replayed: true}, err
	}
	again := map[string]mode{"Do": (*client).do, "DoBatch": (*client).doBatch, "DoTx": (*client).doTx, "DoPool": (*client).doPool, "Get": get}
	for name, cutOff := range map[string]func(p *pair){
		"TheBackendWasTerminated": (*pair).terminateCommits,
		"AnOperatorDidNotWait":    (*pair).cancelCommits,
		"ThePrimaryWasRestarted": func(p *pair) {
			p.primary.Kill()
			p.primary.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ctx := newSynchronousPair(t), patient(t)
			c := p.anywhere()
			p.standby.Freeze()
			for key := range again {
				_ = c.start(ctx, modes["DoTx"], key) // whose COMMIT is the caller's
			}
			p.awaitCommits(len(again))
			cutOff(p)
			heard := make(chan answer, len(again))
			for key, place := range again {
				p.awaitShown(key)
				go func() {
					reply, err := place(c, ctx, key)
					heard <- answer{reply, err}
				}()
			}
			p.awaitCommits(len(again))
			require.Empty(t, heard)
			p.standby.Thaw()
			for range again {
				got := <-heard
				require.NoError(t, got.err)
				require.True(t, got.reply.Replayed)
			}
			p.failOver()
			for key := range again {
				require.Equal(t, 1, p.orders(p.standby, key))
			}
		})
	}
}
