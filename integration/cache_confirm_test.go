package integration

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
)

// A reply that no standby has is not remembered before one has it: neither another's
// nor, when it is looked at again, the process's own.
func TestUnconfirmedReplyIsNotCached(t *testing.T) {
	t.Parallel()
	node, told := pgnode.New(t), new(ledger)
	f := onNode(t, node, withCache(told))
	hasty := onNode(t, node, func(p *pgxpool.Config, _ *idemtx.Config) {
		p.ConnConfig.RuntimeParams["synchronous_commit"] = "local"
	})
	for _, m := range remembering {
		_, err := m.do(t.Context(), f, f.request("own "+string(m.name)), effect(f, "k"))
		require.NoError(t, err)
	}
	told.forget()
	node.Synchronous("nobody")
	f.pool.Reset()
	_, before := told.counts()
	for _, m := range remembering {
		anothers := "another's " + string(m.name)
		_, err := modes[0].do(t.Context(), hasty, f.request(anothers), effect(hasty, "k"))
		require.NoError(t, err)
		for _, key := range []string{anothers, "own " + string(m.name)} {
			ctx, cancel := context.WithCancel(t.Context())
			call := launch(ctx, m, f, f.request(key), mustNotRun(t))
			require.Eventually(t, func() bool {
				return hasty.count("pg_stat_activity WHERE wait_event = 'SyncRep'") > 0
			}, patience, 5*time.Millisecond)
			cancel()
			call.ends(t)
			require.Error(t, call.err)
			require.Eventually(t, func() bool {
				return hasty.count("pg_stat_activity WHERE wait_event = 'SyncRep'") == 0
			}, patience, 5*time.Millisecond)
		}
	}
	_, sets := told.counts()
	require.Equal(t, before, sets)

	node.Synchronous("")
	f.pool.Reset()
	for _, m := range remembering {
		_, err := m.do(t.Context(), f, f.request("another's "+string(m.name)), mustNotRun(t))
		require.NoError(t, err)
	}
	_, sets = told.counts()
	require.Equal(t, before+len(remembering), sets)
}
