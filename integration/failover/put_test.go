package failover

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestPutIsNotToldWithoutTheStandby: the context ends while COMMIT waits for the
// standby, and PostgreSQL says that it has succeeded.
func TestPutIsNotToldWithoutTheStandby(t *testing.T) {
	t.Parallel()
	p := newSynchronousPair(t)
	c := p.client(p.primary.URL(), cancelStatements)
	entry := idemtx.Entry{Response: json.RawMessage(`1`)}
	_, err := c.store.Put(patient(t), c.scope, "before", entry) // its statements are prepared
	require.NoError(t, err)
	p.standby.Freeze()
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	type told struct {
		stored bool
		err    error
	}
	heard := make(chan told, 1)
	go func() {
		stored, err := c.store.Put(ctx, c.scope, "k", entry)
		heard <- told{stored, err}
	}()
	p.awaitCommits(1)
	cancel()
	require.Equal(t, told{false, context.Canceled}, <-heard)
	p.failOver()
	require.Zero(t, query[int](t, p.standby, "SELECT count(*) FROM idemtx_replies WHERE key = 'k'"))
}
