package snippets

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// newPool returns a pool on a database of the test's own, because what the pages
// show is in the schema public.
func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	admin, err := pgx.Connect(ctx, server.URL)
	require.NoError(t, err)
	name := "t_" + strings.ToLower(rand.Text())
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	require.NoError(t, err)
	config, err := pgxpool.ParseConfig(server.URL)
	require.NoError(t, err)
	config.ConnConfig.Database = name
	config.ConnConfig.RuntimeParams["search_path"] = "public"
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() {
		pool.Close()
		if !t.Failed() { // a failed test keeps it, for psql
			_, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
			require.NoError(t, err)
		}
		_ = admin.Close(ctx)
	})
	return pool
}

// newStore returns a store whose table is there.
func newStore(t *testing.T, config idemtx.Config) *idemtx.Store {
	t.Helper()
	store, err := idemtx.New(newPool(t), config)
	require.NoError(t, err)
	require.NoError(t, store.CreateSchema(t.Context()))
	return store
}

func run(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// ask returns the one value of a query.
func ask[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	var value T
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&value), sql)
	return value
}

var whose, _ = scope.New("acme", "ann")
