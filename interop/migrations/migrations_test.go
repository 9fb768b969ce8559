// Package migrations has the tools that people apply migrations with apply those of
// idemtx, from the files that "idemtx schema migrations" writes.
package migrations

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of goose and Atlas
	tern "github.com/jackc/tern/v2/migrate"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/devpg"
	"github.com/idemtx/idemtx/internal/migrationfiles"
	"github.com/idemtx/idemtx/scope"
)

// server is the one PostgreSQL that all tests share; each has a database of its own,
// where its tool keeps its record.
var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}

func newDatabase(t *testing.T) (url string) {
	t.Helper()
	name := "d_" + strings.ToLower(rand.Text())
	execute := func(sql string) {
		conn, err := pgx.Connect(context.WithoutCancel(t.Context()), server.URL)
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		_, err = conn.Exec(context.WithoutCancel(t.Context()), sql)
		require.NoError(t, err)
	}
	execute("CREATE DATABASE " + name)
	t.Cleanup(func() { execute("DROP DATABASE " + name + " WITH (FORCE)") })
	return strings.Replace(server.URL, "/postgres?", "/"+name+"?", 1)
}

// tool applies what is new in a folder, and tells how many files that were.
type tool struct {
	format migrationfiles.Format
	name   string // of a file with a number
	head   string // what is in front of the SQL
	alone  string // what keeps the tool from beginning a transaction for a file
	apply  func(t *testing.T, url, dir string, kept record) int
}

var tools = map[string]tool{
	"goose": {migrationfiles.Goose, "%05d_index.sql", "-- +goose Up\n", "-- +goose NO TRANSACTION", func(t *testing.T, url, dir string, _ record) int {
		t.Helper()
		provider, err := goose.NewProvider(goose.DialectPostgres, open(t, url), os.DirFS(dir))
		require.NoError(t, err)
		results, err := provider.Up(t.Context())
		require.NoError(t, err)
		return len(results)
	}},
	"tern": {migrationfiles.Tern, "%03d_index.sql", "", "---- tern: disable-tx ----", func(t *testing.T, url, dir string, _ record) int {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		m, err := tern.NewMigrator(t.Context(), conn, "public.schema_version")
		require.NoError(t, err)
		require.NoError(t, m.LoadMigrations(os.DirFS(dir)))
		before, err := m.GetCurrentVersion(t.Context())
		require.NoError(t, err)
		require.NoError(t, m.Migrate(t.Context()))
		after, err := m.GetCurrentVersion(t.Context())
		require.NoError(t, err)
		return int(after - before)
	}},
	"Atlas": {migrationfiles.Plain, "%05d_index.sql", "", "-- atlas:txmode none", func(t *testing.T, url, dir string, kept record) int {
		t.Helper()
		driver, err := postgres.Open(open(t, url))
		require.NoError(t, err)
		local, err := migrate.NewLocalDir(dir)
		require.NoError(t, err)
		sum, err := local.Checksum()
		require.NoError(t, err)
		require.NoError(t, migrate.WriteSumFile(local, sum)) // as "atlas migrate hash" does
		before := len(kept)
		executor, err := migrate.NewExecutor(driver, local, kept, migrate.WithAllowDirty(true))
		require.NoError(t, err)
		if err := executor.ExecuteN(t.Context(), 0); !errors.Is(err, migrate.ErrNoPendingFiles) {
			require.NoError(t, err)
		}
		return len(kept) - before
	}},
}

func newStore(t *testing.T, url string, config idemtx.Config) (*pgxpool.Pool, *idemtx.Store) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, config)
	require.NoError(t, err)
	return pool, store
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// The first release's table is made, and becomes today's with its rows in it.
func TestTools(t *testing.T) {
	t.Parallel()
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := record{}
			url, dir := newDatabase(t), t.TempDir()
			pool, store := newStore(t, url, idemtx.Config{Schema: "app"})
			steps := store.Migrations()

			_, err := migrationfiles.Write(dir, tool.format, 1, steps[:1])
			require.NoError(t, err)
			require.Equal(t, 1, tool.apply(t, url, dir, kept))
			require.Error(t, store.VerifySchema(t.Context()))
			alice, err := scope.New("acme", "alice")
			require.NoError(t, err)
			_, err = pool.Exec(t.Context(), `INSERT INTO app.idemtx_replies (scope, key, fingerprint, response, created_at, expires_at)
				VALUES ($1, 'order-1', sha256('x'), '{"order": 1}', now(), now() + interval '1 hour')`, alice.Key())
			require.NoError(t, err)

			_, err = migrationfiles.Write(dir, tool.format, 2, steps[1:])
			require.NoError(t, err)
			require.Equal(t, len(steps)-1, tool.apply(t, url, dir, kept))
			require.NoError(t, store.VerifySchema(t.Context()))
			entry, err := store.Get(t.Context(), alice, "order-1")
			require.NoError(t, err)
			require.JSONEq(t, `{"order": 1}`, string(entry.Response))
			require.Zero(t, tool.apply(t, url, dir, kept))
		})
	}
}

// An index that is made while others write is in no transaction.
func TestIndexConcurrently(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/migrations.md")
	require.NoError(t, err)
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := record{}
			url, dir := newDatabase(t), t.TempDir()
			pool, store := newStore(t, url, idemtx.Config{})
			steps := store.Migrations()
			_, err := migrationfiles.Write(dir, tool.format, 1, steps)
			require.NoError(t, err)
			require.Equal(t, len(steps), tool.apply(t, url, dir, kept))

			_, err = pool.Exec(t.Context(), "DROP INDEX idemtx_replies_expires_at_idx")
			require.NoError(t, err)
			var differs *idemtx.SchemaError
			require.ErrorAs(t, store.VerifySchema(t.Context()), &differs)
			_, cure, _ := strings.Cut(differs.Differences[0], ", cure: ")
			require.Contains(t, cure, "CREATE INDEX CONCURRENTLY")

			require.Contains(t, string(page), "| "+name+" | `"+tool.alone+"` |")
			written := filepath.Join(dir, fmt.Sprintf(tool.name, len(steps)+1))
			require.NoError(t, os.WriteFile(written, []byte(tool.alone+"\n\n"+tool.head+cure+";\n"), 0o600))
			require.Equal(t, 1, tool.apply(t, url, dir, kept))
			require.NoError(t, store.VerifySchema(t.Context()))
		})
	}
}

// The transaction of a file is begun by the command of Atlas, which asks the file.
func TestAtlasReadsTheDirective(t *testing.T) {
	t.Parallel()
	file := migrate.NewLocalFile("1.sql", []byte(tools["Atlas"].alone+"\n\nSELECT 1;\n"))
	require.Equal(t, []string{"none"}, file.Directive("txmode"))
}
