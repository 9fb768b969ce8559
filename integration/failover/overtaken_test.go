package failover

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestOvertakenReplayWaitsForTheStandby: a program that takes no lock writes the
// reply while the handler of DoTx runs, and the standby does not have it. The
// caller's COMMIT waits, although nothing of the handler's is left in it.
func TestOvertakenReplayWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	p := newSynchronousPair(t)
	c, ctx := p.client(p.primary.URL()), patient(t)
	runs, goOn, heard := make(chan struct{}), make(chan struct{}), make(chan answer, 1)
	go func() {
		var a answer
		a.err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
			a.reply, err = idemtx.DoTx(ctx, c.store, tx, c.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				close(runs)
				<-goOn
				return place(ctx, tx, "k")
			})
			return err
		})
		heard <- a
	}()
	<-runs
	p.standby.Freeze()
	fingerprint, err := idemtx.FingerprintOf(c.request("k").Operation, c.request("k").Payload)
	require.NoError(t, err)
	go func() {
		_, _ = c.pool.Exec(ctx, "INSERT INTO idemtx_replies (scope, key, fingerprint, response, created_at, expires_at)"+
			` VALUES ($1, 'k', $2, '{"number": 7}', now(), now() + interval '1 hour')`, c.scope.Key(), fingerprint[:])
	}()
	p.awaitCommits(1)
	p.terminateCommits()
	require.Eventually(t, func() bool {
		return query[int](t, p.primary, "SELECT count(*) FROM idemtx_replies") == 1
	}, time.Minute, 5*time.Millisecond)
	close(goOn)
	p.awaitCommits(1)
	require.Empty(t, heard)
	p.standby.Thaw()
	got := <-heard
	require.NoError(t, got.err)
	require.True(t, got.reply.Replayed)
	require.EqualValues(t, 7, got.reply.Value.Number)
	require.Zero(t, p.orders(p.primary, "k"))
}
