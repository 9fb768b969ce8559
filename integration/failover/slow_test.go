package failover

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A COMMIT that waits for its synchronous standby is done on the primary, and the
// wait can be cut off: by a cancel request, which pgx sends whenever it closes a
// connection, and by the end of the backend. Then the order shows on the primary
// and is on no standby, and nobody may be told of it yet.

// TestConnectionIsLostAtACommitThatWaits: the question what has become of it waits
// for the standby as well.
func TestConnectionIsLostAtACommitThatWaits(t *testing.T) {
	t.Parallel()
	t.Run("TheServerIsTold", func(t *testing.T) {
		t.Parallel()
		p, n := newSynchronousPair(t), new(network)
		p.standby.Freeze()
		heard := p.anywhere(n.carry).start(patient(t), modes["Do"], "key")
		first := p.awaitCommit()
		n.cut()
		p.awaitShown("key")
		require.NotEqual(t, first, p.awaitCommit())
		p.requireAnswerAfterThaw(heard)
	})

	// The old backend holds the key's lock until the standby has confirmed.
	t.Run("TheServerIsNotTold", func(t *testing.T) {
		t.Parallel()
		p, n := newSynchronousPair(t), &network{losesCancelRequests: true}
		p.standby.Freeze()
		heard := p.anywhere(n.carry).start(patient(t), modes["Do"], "key")
		first := p.awaitCommit()
		n.cut()
		require.Eventually(t, func() bool {
			return query[int](t, p.primary, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1
		}, time.Minute, 5*time.Millisecond)
		require.Equal(t, first, p.awaitCommit())
		require.Zero(t, p.orders(p.primary, "key"))
		p.requireAnswerAfterThaw(heard)
	})

	for mode, place := range whole {
		t.Run("TheBackendIsTerminated/"+mode, func(t *testing.T) {
			t.Parallel()
			p := newSynchronousPair(t)
			heard := p.terminated(place, "key")
			p.requireAnswerAfterThaw(heard)
		})
	}

	// The question waits, and is asked again of the new primary.
	t.Run("AndThePrimaryDies", func(t *testing.T) {
		t.Parallel()
		p := newSynchronousPair(t)
		heard := p.terminated(modes["Do"], "key")
		p.failOver()
		got := <-heard
		require.NoError(t, got.err)
		p.requireOneOrder("key", got.reply)
	})
}

// requireAnswerAfterThaw requires that there is no answer until the standby
// confirms, and then the one that the standby knows.
func (p *pair) requireAnswerAfterThaw(heard <-chan answer) {
	p.t.Helper()
	require.Empty(p.t, heard)
	p.standby.Thaw()
	got := <-heard
	require.NoError(p.t, got.err)
	p.failOver()
	p.requireOneOrder("key", got.reply)
}

// TestContextEndsAtACommitThatWaits: the caller is not told that the order is
// placed, however pgx is set up to end a wait.
func TestContextEndsAtACommitThatWaits(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]func(*pgxpool.Config){
		"TheConnectionIsClosed":   func(*pgxpool.Config) {}, // pgx's default
		"TheStatementIsCancelled": cancelStatements,
	} {
		for mode, place := range whole {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				p := newSynchronousPair(t)
				p.standby.Freeze()
				ctx, cancel := context.WithCancel(t.Context())
				heard := p.anywhere(option).start(ctx, place, "key")
				p.awaitCommit()
				cancel()
				require.ErrorIs(t, (<-heard).err, idemtx.ErrOutcomeUnknown)
				p.awaitShown("key")
				p.failOver()
				require.Zero(t, p.orders(p.standby, "key"), "the standby never had it")

				reply, err := place(p.anywhere(), patient(t), "key")
				require.NoError(t, err)
				require.False(t, reply.Replayed)
				p.requireOneOrder("key", reply)
			})
		}
	}
}

// terminated is a call whose backend was terminated in a COMMIT that the standby
// keeps waiting, and which asks what has become of it.
func (p *pair) terminated(place mode, key string) (heard <-chan answer) {
	p.t.Helper()
	p.standby.Freeze()
	heard = p.anywhere().start(patient(p.t), place, key)
	p.awaitCommit()
	p.terminateCommits()
	p.awaitShown(key)
	p.awaitCommit()
	return heard
}

// cancelStatements is the other way that pgx has for a context that ends: it
// cancels the statement and keeps the connection.
func cancelStatements(c *pgxpool.Config) {
	c.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Minute}
	}
}
