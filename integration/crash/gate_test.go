package crash

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// shut shuts the gate that the server is to be held at, until it is opened. A
// statement that reads has no trigger; its table is locked.
func (x *trial) shut(t *testing.T) {
	t.Helper()
	if name := x.point.gate(); name == reading {
		x.open = x.host.lockTable(t, x.schema+"."+replies)
	} else {
		x.open = sync.OnceValue(x.host.locks.take(t, x.key, name))
	}
	t.Cleanup(func() { _ = x.open() })
}

// lockTable locks a table, which takes a connection.
func (h *host) lockTable(t *testing.T, table string) (open func() error) {
	t.Helper()
	tx, err := h.admin.Begin(t.Context())
	require.NoError(t, err)
	open = func() error { return tx.Rollback(context.WithoutCancel(t.Context())) }
	if _, err = tx.Exec(t.Context(), "LOCK TABLE "+table); err != nil {
		_ = open()
	}
	require.NoError(t, err)
	return open
}

// locks are the advisory locks of a host's gates. One connection has them all: each
// is a process of the server's, and dear.
type locks struct {
	pool *pgxpool.Pool
	mu   sync.Mutex
	conn *pgxpool.Conn // or nil
}

var errLost = errors.New("the lock went with its connection")

func (l *locks) take(t *testing.T, key, gate string) (open func() error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		var err error
		l.conn, err = l.pool.Acquire(t.Context())
		require.NoError(t, err)
	}
	conn := l.conn
	require.NoError(t, l.exec(t.Context(), "SELECT pg_advisory_lock(hashtext($1), hashtext($2))", key, gate))
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.conn != conn {
			return errLost
		}
		return l.exec(context.WithoutCancel(t.Context()), "SELECT pg_advisory_unlock(hashtext($1), hashtext($2))", key, gate)
	}
}

// exec gives up a connection whose server has died, and all locks with it.
func (l *locks) exec(ctx context.Context, sql string, args ...any) error {
	_, err := l.conn.Exec(ctx, sql, args...)
	if l.conn.Conn().IsClosed() {
		l.conn.Release()
		l.conn = nil
	}
	return err
}

func (l *locks) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Release()
	}
}
