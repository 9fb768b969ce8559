package integration

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/devpg"
)

var (
	// server is the one PostgreSQL that all tests share; each has a schema of its own.
	server *devpg.Server

	// superuser is for what a test does and asks beside its fixture.
	superuser *pgxpool.Pool
)

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	var err error
	if superuser, err = newSuperuser(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	waitTogether()
	code := m.Run()
	superuser.Close()
	server.Close()
	os.Exit(code)
}

// waitTogether has more tests run in parallel than there are processors, unless
// -parallel was given: they wait for a server more than they compute.
func waitTogether() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
}

// newSuperuser is a pool that keeps nothing of a statement: the next one may be
// about another schema with the same names in it.
func newSuperuser() (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(serverURL())
	if err != nil {
		return nil, err
	}
	config.MaxConns = 8
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	return pgxpool.NewWithConfig(context.Background(), config)
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

// exec runs statements beside a test's own, as the server's superuser. It works in
// a cleanup, too.
func exec(tb testing.TB, sql string) {
	tb.Helper()
	_, err := superuser.Exec(context.WithoutCancel(tb.Context()), sql)
	require.NoError(tb, err, sql)
}
