package failover

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestReadOnlyWaitsForNobody: a standby may have its primary's setting, for the day
// it is one, and a transaction that only reads cannot wait.
func TestReadOnlyWaitsForNobody(t *testing.T) {
	t.Parallel()
	p, ctx := newSynchronousPair(t), patient(t)
	_, err := p.client(p.primary.URL()).do(ctx, "k")
	require.NoError(t, err)
	exec(t, p.standby, "ALTER SYSTEM SET synchronous_standby_names = 'another'")
	exec(t, p.standby, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		return query[string](t, p.standby, "SHOW synchronous_standby_names") == "another"
	}, time.Minute, 5*time.Millisecond)
	for _, url := range []string{p.primary.URL(), p.standby.URL()} {
		c := p.client(url)
		_, err = c.store.Get(ctx, c.scope, "k")
		require.NoError(t, err)
		err = pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			_, err := c.store.GetTx(ctx, tx, c.scope, "k")
			require.NoError(t, err)
			if url == p.standby.URL() { // which gives no advisory locks
				return nil
			}
			reply, err := idemtx.DoTx(ctx, c.store, tx, c.request("k"), func(context.Context, pgx.Tx) (order, error) {
				t.Error("the handler ran")
				return order{}, nil
			})
			require.True(t, reply.Replayed)
			return err
		})
		require.NoError(t, err)
	}
}
