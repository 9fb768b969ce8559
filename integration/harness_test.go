package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL that all tests share; each has a schema of its own.
var server *devpg.Server

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // an image may have to be pulled
	started, err := devpg.Start(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server = started
	code := m.Run()
	server.Close()
	os.Exit(code)
}

func serverURL() string { return server.URL }

// newSchema makes an empty schema. A failed test keeps it, for psql.
func newSchema(tb testing.TB) string {
	tb.Helper()
	schema := "t_" + strings.ToLower(rand.Text())
	exec(tb, "CREATE SCHEMA "+schema)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the schema is kept: %s", schema)
			return
		}
		exec(tb, "DROP SCHEMA "+schema+" CASCADE")
	})
	return schema
}

// newPool has an empty search_path: a statement that does not name its schema
// fails.
func newPool(tb testing.TB, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(serverURL())
	require.NoError(tb, err)
	config.ConnConfig.RuntimeParams["search_path"] = ""
	for _, f := range configure {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

// exec runs statements on a connection of its own, as the server's superuser.
// It works in a cleanup, too.
func exec(tb testing.TB, sql string) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	conn, err := pgx.Connect(ctx, serverURL())
	require.NoError(tb, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(tb, err, sql)
}
