package command

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// patience and tick are how long, and how often, a test looks for what is bound to
// come.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

// Whose keys these tests have. No output may hold any of it, or the reply.
const (
	tenant    = "Tenant-Acme"
	principal = "Principal-Jones"
	answer    = "Reply-Of-Jones"
)

// fixture is a store in a schema of its own.
type fixture struct {
	t      *testing.T
	url    string
	schema string
	pool   *pgxpool.Pool
	store  *idemtx.Store
	scope  scope.Scope
}

type option func(*pgxpool.Config, *idemtx.Config)

func withConfig(change func(*idemtx.Config)) option {
	return func(_ *pgxpool.Config, c *idemtx.Config) { change(c) }
}

func newFixture(t *testing.T, options ...option) *fixture {
	t.Helper()
	f := newEmpty(t, options...)
	require.NoError(t, f.store.CreateSchema(t.Context()))
	return f
}

// newApart has a database of its own, for what is seen in all of one.
func newApart(t *testing.T, options ...option) *fixture {
	t.Helper()
	outside := newEmpty(t)
	outside.exec("CREATE DATABASE " + outside.schema)
	t.Cleanup(func() { outside.exec("DROP DATABASE " + outside.schema + " WITH (FORCE)") })
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	u.Path = "/" + outside.schema
	f := newOn(t, u.String(), options...)
	require.NoError(t, f.store.CreateSchema(t.Context()))
	return f
}

// newEmpty has no table yet.
func newEmpty(t *testing.T, options ...option) *fixture {
	t.Helper()
	return newOn(t, server.URL, options...)
}

// newOn is on a server of the test's own.
func newOn(t *testing.T, url string, options ...option) *fixture {
	t.Helper()
	sc, err := scope.New(tenant, principal)
	require.NoError(t, err)
	f := &fixture{t: t, url: url, schema: "t_" + strings.ToLower(rand.Text()), scope: sc}
	f.pool, f.store = f.open(options...)
	if url == server.URL {
		t.Cleanup(func() { f.exec("DROP SCHEMA IF EXISTS " + f.schema + " CASCADE") })
	}
	return f
}

// open makes another store on the same table, with a pool of its own. Whatever it
// does not name in full is not found.
func (f *fixture) open(options ...option) (*pgxpool.Pool, *idemtx.Store) {
	f.t.Helper()
	config, err := pgxpool.ParseConfig(f.url)
	require.NoError(f.t, err)
	config.ConnConfig.RuntimeParams["search_path"] = ""
	config.ConnConfig.RuntimeParams["application_name"] = f.schema
	of := idemtx.Config{Schema: f.schema, MaxWait: patience}
	for _, change := range options {
		change(config, &of)
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(f.t.Context()), config)
	require.NoError(f.t, err)
	f.t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, of)
	require.NoError(f.t, err)
	return pool, store
}

func (f *fixture) table() string { return f.schema + ".idemtx_replies" }

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	sql = strings.ReplaceAll(sql, "{table}", f.table())
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, f.url)
	require.NoError(f.t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql, args...)
	require.NoError(f.t, err, sql)
}

// ask returns the one value of a query.
func ask[T any](f *fixture, sql string, args ...any) (value T) {
	f.t.Helper()
	sql = strings.ReplaceAll(sql, "{table}", f.table())
	require.NoError(f.t, f.pool.QueryRow(f.t.Context(), sql, args...).Scan(&value), sql)
	return value
}

func (f *fixture) request(key string) idemtx.Request {
	return idemtx.Request{Scope: f.scope, Operation: "POST /orders", Key: key, Payload: map[string]any{"sku": "lamp"}}
}

// stored answers keys.
func (f *fixture) stored(keys ...string) {
	f.t.Helper()
	for _, key := range keys {
		_, err := idemtx.Do(f.t.Context(), f.store, f.request(key), answered)
		require.NoError(f.t, err)
	}
}

func answered(context.Context, pgx.Tx) (string, error) { return answer, nil }

// refused stores the reply of a handler that refuses.
func (f *fixture) refused(key string) {
	f.t.Helper()
	reply, err := idemtx.Do(f.t.Context(), f.store, f.request(key),
		func(context.Context, pgx.Tx) (string, error) { return answer, idemtx.ErrRefused })
	require.True(f.t, reply.Refused || errors.Is(err, idemtx.ErrRefused))
}

// age lets so much time pass for a key's row.
func (f *fixture) age(key, interval string) {
	f.t.Helper()
	f.exec(`UPDATE {table} SET created_at = created_at - $2::text::interval, expires_at = expires_at - $2::text::interval,
		lease_until = lease_until - $2::text::interval, retain_until = retain_until - $2::text::interval WHERE key = $1`,
		key, interval)
}

// due adds n rows that have expired.
func (f *fixture) due(n int) {
	f.t.Helper()
	f.exec(`INSERT INTO {table} (scope, key, fingerprint, response, created_at, expires_at)
		SELECT 'due', 'key-number-' || i, sha256('x'), '{}', now() - interval '3 days', now() - interval '1 minute'
		FROM generate_series(1, $1::int) AS i`, n)
}

func (f *fixture) rows() int { return ask[int](f, "SELECT count(*) FROM {table}") }
