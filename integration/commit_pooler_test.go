package integration

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// complaining is a connection through a pooler that has lost the server: it says so,
// and hangs up.
type complaining struct {
	net.Conn
	lost *atomic.Bool
}

func (c *complaining) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil || !c.lost.CompareAndSwap(true, false) {
		return n, err
	}
	words, err := (&pgproto3.ErrorResponse{
		Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "08P01", Message: "server conn crashed?",
	}).Encode(nil)
	return copy(b, words), err
}

// A pooler's error is no word of the server's: the COMMIT that it has lost sight of
// may have landed.
func TestCommitThatAPoolerHasLostSightOf(t *testing.T) {
	t.Parallel()
	var lost, met atomic.Bool
	f := newFixture(t, withMaxAttempts(1), func(p *pgxpool.Config, _ *idemtx.Config) {
		config := &p.ConnConfig.Config
		pgwire.Inject(config, func(trip *pgwire.Trip) pgwire.Fate {
			if trip.Commits() && trip.Has("WITH stored AS") && met.CompareAndSwap(false, true) {
				lost.Store(true)
				return pgwire.Swallow
			}
			return pgwire.Deliver
		})
		connected := config.AfterNetConnect
		config.AfterNetConnect = func(ctx context.Context, config *pgconn.Config, conn net.Conn) (net.Conn, error) {
			conn, err := connected(ctx, config, conn)
			return &complaining{conn, &lost}, err
		}
	})
	fn, runs := counting(f, "k")
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	require.NoError(t, err)
	require.True(t, met.Load())
	require.False(t, lost.Load(), "the pooler has said nothing")
	require.False(t, reply.Replayed)
	require.EqualValues(t, 1, runs.Load())
	requireOnce(f, "k", reply)
}
