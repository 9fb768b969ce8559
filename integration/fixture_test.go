package integration

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// order is the reply of the handlers in these tests, and effect what they do: a
// row in the table effects, whose id is the order's number.
type order struct {
	Number int64  `json:"number"`
	Note   string `json:"note,omitempty"`
}

// fixture is a store in a schema of its own, with a table for effects.
type fixture struct {
	t      testing.TB
	schema string
	pool   *pgxpool.Pool
	store  *idemtx.Store
	scope  scope.Scope
}

// option changes what a fixture is made of.
type option func(*pgxpool.Config, *idemtx.Config)

func withExecMode(mode pgx.QueryExecMode) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.DefaultQueryExecMode = mode }
}

func withMaxConns(n int32) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { p.MaxConns = n }
}

func withTracer(tracer pgx.QueryTracer) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.Tracer = tracer }
}

func withConfig(change func(*idemtx.Config)) option {
	return func(_ *pgxpool.Config, c *idemtx.Config) { change(c) }
}

func refusing(c *idemtx.Config) { c.OnDuplicate = idemtx.Refuse }

// newFixture has the tables made by a connection that has made some before: the
// first to do so in each pool would have PostgreSQL learn its catalogs once more.
func newFixture(tb testing.TB, options ...option) *fixture {
	tb.Helper()
	f := &fixture{t: tb, schema: newSchema(tb)}
	f.scope = mustScope(tb, "tenant", "principal")
	f.pool, f.store = f.open(options...)
	exec(tb, f.store.SchemaSQL()+"CREATE TABLE "+f.schema+".effects (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL)")
	return f
}

// backends counts this fixture's connections that are in a transaction.
func (f *fixture) backends() int {
	f.t.Helper()
	return ask[int](f.t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND xact_start IS NOT NULL", f.schema)
}

// locks counts the advisory locks that this fixture's connections hold.
func (f *fixture) locks() int {
	f.t.Helper()
	return ask[int](f.t, `SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND application_name = $1`, f.schema)
}

// idle waits until the fixture's pool and the server agree that nothing is going
// on: a replay gives its answer before it has given back its connection, and the
// server needs a moment to see that a connection is gone.
func (f *fixture) idle() {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return f.pool.Stat().AcquiredConns() == 0 && f.backends() == 0 && f.locks() == 0
	}, time.Minute, 5*time.Millisecond)
}

// open makes another store on the same table, with a pool of its own: what
// another process would have.
func (f *fixture) open(options ...option) (*pgxpool.Pool, *idemtx.Store) {
	f.t.Helper()
	config := idemtx.Config{Schema: f.schema, MaxWait: patience}
	pool := newPool(f.t, func(p *pgxpool.Config) {
		p.ConnConfig.RuntimeParams["application_name"] = f.schema
		for _, change := range options {
			change(p, &config)
		}
	})
	store, err := idemtx.New(pool, config)
	require.NoError(f.t, err)
	return pool, store
}

// peer is the fixture as another process has it.
func (f *fixture) peer(options ...option) *fixture {
	f.t.Helper()
	p := *f
	p.pool, p.store = f.open(options...)
	return &p
}

func (f *fixture) request(key string) idemtx.Request {
	return idemtx.Request{
		Scope: f.scope, Operation: "POST /orders", Key: key,
		Payload: map[string]any{"sku": "lamp", "quantity": 1},
	}
}

// other is the request with the same key for something else.
func (f *fixture) other(key string) idemtx.Request {
	r := f.request(key)
	r.Payload = map[string]any{"sku": "lamp", "quantity": 2}
	return r
}

// execer is a transaction or a pool.
type execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// effect does the work of an order.
func (f *fixture) effect(ctx context.Context, db execer, key string) (order, error) {
	var o order
	err := db.QueryRow(ctx, "INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id", key).Scan(&o.Number)
	return o, err
}

// handler does the work in its transaction.
func (f *fixture) handler(key string) func(context.Context, pgx.Tx) (order, error) {
	return func(ctx context.Context, tx pgx.Tx) (order, error) { return f.effect(ctx, tx, key) }
}

// effects counts the orders of a key that were committed.
func (f *fixture) effects(key string) int {
	f.t.Helper()
	return ask[int](f.t, "SELECT count(*) FROM "+f.schema+".effects WHERE key = $1", key)
}

// rows counts what the store keeps under a key, live or not.
func (f *fixture) rows(key string) int {
	f.t.Helper()
	return ask[int](f.t, "SELECT count(*) FROM "+f.table()+" WHERE key = $1", f.stored(key))
}

// stored is what the table has for a key.
func (f *fixture) stored(key string) string {
	f.t.Helper()
	found, err := f.store.Locate(f.scope, key)
	require.NoError(f.t, err)
	return found.Key
}

func (f *fixture) table() string { return f.schema + ".idemtx_replies" }

// expire lets the reply to a key, or the lease of its claim, end now.
func (f *fixture) expire(key string) {
	f.t.Helper()
	exec(f.t, "UPDATE "+f.table()+" SET created_at = created_at - interval '1 year', "+
		"expires_at = clock_timestamp() - interval '1 second', "+
		"lease_until = CASE WHEN lease_until IS NOT NULL THEN clock_timestamp() - interval '1 second' END "+
		"WHERE key = '"+f.stored(key)+"'")
}

// ask returns the one value of a query, as the server's superuser sees it.
func ask[T any](tb testing.TB, sql string, args ...any) T {
	tb.Helper()
	var value T
	require.NoError(tb, superuser.QueryRow(context.WithoutCancel(tb.Context()), sql, args...).Scan(&value))
	return value
}

// blocked waits until n backends of this fixture's pools wait for an advisory
// lock.
func (f *fixture) blocked(n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return ask[int](f.t, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND NOT l.granted AND a.application_name = $1`, f.schema) == n
	}, time.Minute, 5*time.Millisecond, "%d backends do not come to wait", n)
}

func mustScope(tb testing.TB, tenant, principal string) scope.Scope {
	tb.Helper()
	s, err := scope.New(tenant, principal)
	require.NoError(tb, err)
	return s
}

func mustJSON(tb testing.TB, value any) []byte {
	tb.Helper()
	text, err := json.Marshal(value)
	require.NoError(tb, err)
	return text
}

// firstLine is the text of an error without what others have joined to it.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
