// Package failover holds the tests in which a primary dies and its standby goes
// on, and those in which the standby keeps a COMMIT waiting.
package failover

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
	"github.com/idemtx/idemtx/internal/pgwire"
	"github.com/idemtx/idemtx/scope"
)

// pair is a primary and its standby.
type pair struct {
	t                testing.TB
	primary, standby *pgnode.Node
	scope            scope.Scope
}

// newPair starts both, with tables for the orders and their replies.
func newPair(tb testing.TB) *pair {
	tb.Helper()
	p := &pair{t: tb, primary: pgnode.New(tb)}
	p.standby = p.primary.Standby("second")
	var err error
	p.scope, err = scope.New("tenant", "principal")
	require.NoError(tb, err)
	require.NoError(tb, p.client(p.primary.URL()).store.CreateSchema(tb.Context()))
	exec(tb, p.primary, "CREATE TABLE orders (number bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL)")
	return p
}

// newSynchronousPair starts a primary whose commits wait for the standby.
func newSynchronousPair(tb testing.TB) *pair {
	tb.Helper()
	p := newPair(tb)
	p.primary.Synchronous("second")
	return p
}

// failOver is the end of the primary.
func (p *pair) failOver() {
	p.t.Helper()
	p.primary.Kill()
	p.standby.Promote()
}

// client is a process that places orders.
type client struct {
	*pair
	pool  *pgxpool.Pool
	store *idemtx.Store
}

// anywhere is a client that goes where writes are accepted.
func (p *pair) anywhere(options ...func(*pgxpool.Config)) *client {
	p.t.Helper()
	return p.client(pgnode.URL(p.primary, p.standby), options...)
}

func (p *pair) client(url string, options ...func(*pgxpool.Config)) *client {
	p.t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(p.t, err)
	config.MaxConns = 20
	for _, change := range options {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(p.t.Context(), config)
	require.NoError(p.t, err)
	p.t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{Lease: 4 * time.Second})
	require.NoError(p.t, err)
	return &client{p, pool, store}
}

// judged lets judge decide on what a client sends.
func judged(judge func(*pgwire.Trip) pgwire.Fate) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { pgwire.Inject(&c.ConnConfig.Config, judge) }
}

// patient is a context for what ends when the test lets it.
func patient(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// query returns the one value of a query, from a connection of its own.
func query[T any](tb testing.TB, n *pgnode.Node, sql string, args ...any) T {
	tb.Helper()
	conn, err := pgx.Connect(patient(tb), n.URL())
	require.NoError(tb, err)
	defer conn.Close(tb.Context())
	var value T
	require.NoError(tb, conn.QueryRow(tb.Context(), sql, args...).Scan(&value))
	return value
}

func exec(tb testing.TB, n *pgnode.Node, sql string, args ...any) {
	tb.Helper()
	conn, err := pgx.Connect(patient(tb), n.URL())
	require.NoError(tb, err)
	defer conn.Close(tb.Context())
	_, err = conn.Exec(tb.Context(), sql, args...)
	require.NoError(tb, err, sql)
}

// awaitCommits waits until n commits of the primary wait for the standby.
func (p *pair) awaitCommits(n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		return query[int](p.t, p.primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == n
	}, time.Minute, 5*time.Millisecond, "%d commits do not come to wait for the standby", n)
}

// awaitCommit waits until one commit waits for the standby, and returns its
// backend.
func (p *pair) awaitCommit() (backend int) {
	p.t.Helper()
	p.awaitCommits(1)
	return query[int](p.t, p.primary, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
}

// terminateCommits ends the backends of commits that wait for the standby.
func (p *pair) terminateCommits() {
	p.t.Helper()
	exec(p.t, p.primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
}

// cancelCommits ends the wait of commits. The server tells their clients that they
// are done.
func (p *pair) cancelCommits() {
	p.t.Helper()
	exec(p.t, p.primary, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
}

// orders counts those that a node has of a key.
func (p *pair) orders(n *pgnode.Node, key string) int {
	p.t.Helper()
	return query[int](p.t, n, "SELECT count(*) FROM orders WHERE key = $1", key)
}

// awaitShown waits until the primary shows the order of a key.
func (p *pair) awaitShown(key string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.orders(p.primary, key) == 1 }, time.Minute, 5*time.Millisecond)
}
