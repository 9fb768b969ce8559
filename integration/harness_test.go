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
func newSchema(t *testing.T) string {
	t.Helper()
	schema := "t_" + strings.ToLower(rand.Text())
	exec(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the schema is kept: %s", schema)
			return
		}
		exec(t, "DROP SCHEMA "+schema+" CASCADE")
	})
	return schema
}

// newPool has an empty search_path: a statement that does not name its schema
// fails.
func newPool(t *testing.T, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(serverURL())
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = ""
	for _, f := range configure {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// exec runs statements on a connection of its own, as the server's superuser.
// It works in a cleanup, too.
func exec(t *testing.T, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, serverURL())
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err, sql)
}
