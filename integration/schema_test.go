package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func newStore(t *testing.T, pool *pgxpool.Pool, config idemtx.Config) *idemtx.Store {
	t.Helper()
	store, err := idemtx.New(pool, config)
	require.NoError(t, err)
	return store
}

// freeSchema is the name of a schema that is not there yet, one that has to be
// quoted with care. What is made under it is dropped in the end.
func freeSchema(t *testing.T) string {
	t.Helper()
	schema := `T {table}; "ß" ` + rand.Text()
	t.Cleanup(func() { exec(t, "DROP SCHEMA IF EXISTS "+quoted(schema)+" CASCADE") })
	return schema
}

func quoted(name ...string) string { return pgx.Identifier(name).Sanitize() }

// newRole makes a role without any privilege and returns its name, which has to
// be quoted.
func newRole(t *testing.T) string {
	t.Helper()
	role := `r"` + rand.Text()
	exec(t, "CREATE ROLE "+quoted(role))
	t.Cleanup(func() { exec(t, "DROP OWNED BY "+quoted(role)+"; DROP ROLE "+quoted(role)) })
	return role
}

func asRole(role string) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) {
		config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+quoted(role))
			return err
		}
	}
}

// failures counts the statements that the server refused.
type failures struct{ atomic.Int64 }

func (f *failures) counted(config *pgxpool.Config) { config.ConnConfig.Tracer = f }

func (f *failures) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (f *failures) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if data.Err != nil {
		f.Add(1)
	}
}

func TestCreateSchemaConcurrently(t *testing.T) {
	t.Parallel()
	const pools, callsPerPool = 4, 5
	refused := new(failures)
	config := idemtx.Config{Schema: freeSchema(t)}
	start, results := make(chan struct{}), make(chan error, pools*callsPerPool)
	for range pools {
		pool := newPool(t, refused.counted, func(c *pgxpool.Config) { c.MaxConns = callsPerPool })
		for range callsPerPool {
			store := newStore(t, pool, config)
			go func() {
				<-start
				results <- store.CreateSchema(t.Context())
			}()
		}
	}
	close(start)
	for range pools * callsPerPool {
		require.NoError(t, <-results)
	}
	require.NoError(t, newStore(t, newPool(t), config).VerifySchema(t.Context()))
	require.Zero(t, refused.Load(), "two creations met")
}

// A migration does not take the lock of CreateSchema:
//
//	migration: BEGIN, CREATE TABLE
//	CreateSchema:                    finds nothing, CREATE TABLE waits
//	migration:                                                          COMMIT
//	CreateSchema:                                                               23505, and all is well
func TestCreateSchemaLosesToMigration(t *testing.T) {
	t.Parallel()
	name := rand.Text()
	pool := newPool(t, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = name })
	observer := newPool(t)
	store := newStore(t, pool, idemtx.Config{Schema: newSchema(t)})

	migration, err := observer.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = migration.Rollback(t.Context()) }() // before the pools wait for it
	_, err = migration.Exec(t.Context(), store.SchemaSQL())
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() { result <- store.CreateSchema(t.Context()) }()
	require.Eventually(t, func() bool {
		var waiting bool
		err := observer.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event = 'transactionid')`, name).Scan(&waiting)
		return err == nil && waiting
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, migration.Commit(t.Context()))
	require.NoError(t, <-result)
}

func TestCreateSchemaIsAllOrNothing(t *testing.T) {
	t.Parallel()
	schema, pool := freeSchema(t), newPool(t)
	store := newStore(t, pool, idemtx.Config{Schema: schema})
	exec(t, "CREATE SCHEMA "+quoted(schema))
	// The primary key's index cannot get its name.
	exec(t, "CREATE TABLE "+quoted(schema, "idemtx_replies_pkey")+" ()")
	require.ErrorContains(t, store.CreateSchema(t.Context()), `"idemtx_replies_pkey" already exists`)
	var tables int
	require.NoError(t, pool.QueryRow(t.Context(),
		"SELECT count(*) FROM pg_class WHERE relnamespace = $1::regnamespace", quoted(schema)).Scan(&tables))
	require.Equal(t, 1, tables)
}

func TestCreateSchemaByRoles(t *testing.T) {
	t.Parallel()
	t.Run("DMLOnly", func(t *testing.T) {
		t.Parallel()
		schema, role, refused := freeSchema(t), newRole(t), new(failures)
		require.NoError(t, newStore(t, newPool(t), idemtx.Config{Schema: schema}).CreateSchema(t.Context()))
		exec(t, "GRANT USAGE ON SCHEMA "+quoted(schema)+" TO "+quoted(role))
		exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+quoted(schema, "idemtx_replies")+" TO "+quoted(role))
		store := newStore(t, newPool(t, asRole(role), refused.counted), idemtx.Config{Schema: schema})
		require.NoError(t, store.CreateSchema(t.Context()))
		require.NoError(t, store.VerifySchema(t.Context()))
		require.Zero(t, refused.Load(), "DDL was tried")
	})
	t.Run("CreateInSchemaOnly", func(t *testing.T) {
		t.Parallel()
		schema, role := newSchema(t), newRole(t)
		exec(t, "GRANT USAGE, CREATE ON SCHEMA "+quoted(schema)+" TO "+quoted(role))
		store := newStore(t, newPool(t, asRole(role)), idemtx.Config{Schema: schema})
		require.NoError(t, store.CreateSchema(t.Context()))
	})
	t.Run("MayNotCreate", func(t *testing.T) {
		t.Parallel()
		pool := newPool(t, asRole(newRole(t)))
		for _, schema := range []string{newSchema(t), freeSchema(t)} {
			err := newStore(t, pool, idemtx.Config{Schema: schema}).CreateSchema(t.Context())
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr)
			require.Equal(t, "42501", pgErr.Code)
			require.ErrorContains(t, err, "idemtx: create table "+quoted(schema, "idemtx_replies"))
		}
	})
}

func TestCreateSchemaWithAnyName(t *testing.T) {
	t.Parallel()
	pool, schema := newPool(t), freeSchema(t)
	// Two of the longest that differ in their last byte only.
	long := strings.Repeat("x", 47)
	for _, table := range []string{"order", "user", "select", "_", long + "1", long + "2"} {
		store := newStore(t, pool, idemtx.Config{Schema: schema, Table: table})
		require.NoError(t, store.CreateSchema(t.Context()), table)
		require.NoError(t, store.CreateSchema(t.Context()), table)
		require.NoError(t, store.VerifySchema(t.Context()), table)
		rows, err := pool.Query(t.Context(),
			"SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = $2 ORDER BY 1", schema, table)
		require.NoError(t, err)
		indexes, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, []string{table + "_expires_at_idx", table + "_pkey"}, indexes)
	}
	for _, schema := range []string{strings.Repeat("ß", 31) + "x", "Order", "select", `a"b'c\d`, "$1 @table :x", "a\nb"} {
		store := newStore(t, pool, idemtx.Config{Schema: schema})
		t.Cleanup(func() { exec(t, "DROP SCHEMA IF EXISTS "+quoted(schema)+" CASCADE") })
		require.NoError(t, store.CreateSchema(t.Context()), schema)
		require.NoError(t, store.VerifySchema(t.Context()), schema)
	}
}

func TestSchemaSQL(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for _, schema := range []string{newSchema(t), freeSchema(t)} {
		store := newStore(t, pool, idemtx.Config{Schema: schema})
		for range 2 {
			exec(t, store.SchemaSQL())
			require.NoError(t, store.VerifySchema(t.Context()))
		}
	}
}

func TestNothingShadowsTheTable(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	pool := newPool(t, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.RuntimeParams["search_path"] = schema + ", pg_catalog"
	})
	for _, name := range []string{"text", "timestamptz", "bytea"} {
		exec(t, "CREATE DOMAIN "+quoted(schema, name)+" AS pg_catalog.int4")
	}
	_, err := pool.Exec(t.Context(), "CREATE TEMP TABLE idemtx_replies (scope pg_catalog.int4)")
	require.NoError(t, err)
	store := newStore(t, pool, idemtx.Config{Schema: schema})
	require.Equal(t, []string{"the table is missing"}, differences(t, store.VerifySchema(t.Context())))
	require.NoError(t, newStore(t, newPool(t), idemtx.Config{Schema: schema}).CreateSchema(t.Context()))
	require.NoError(t, store.VerifySchema(t.Context()))
}

// VerifySchema compares CHECKs by name. This is what they say.
func TestTableRefusesIllegalRows(t *testing.T) {
	t.Parallel()
	pool, schema := newPool(t), newSchema(t)
	require.NoError(t, newStore(t, pool, idemtx.Config{Schema: schema}).CreateSchema(t.Context()))
	// insert changes columns of an answered row.
	insert := func(changes map[string]string) error {
		row := map[string]string{
			"scope": "gen_random_uuid()::text", "key": "'k'", "fingerprint": "sha256('p')", "response": "'{}'",
			"created_at": "now()", "expires_at": "now() + interval '1 day'",
		}
		maps.Copy(row, changes)
		columns := slices.Sorted(maps.Keys(row))
		values := make([]string, len(columns))
		for i, column := range columns {
			values[i] = row[column]
		}
		_, err := pool.Exec(t.Context(), "INSERT INTO "+quoted(schema, "idemtx_replies")+
			" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(values, ", ")+")")
		return err
	}
	claim := func(changes map[string]string) map[string]string {
		claim := map[string]string{"response": "NULL", "lease_until": "now()", "lease_id": "gen_random_uuid()"}
		maps.Copy(claim, changes)
		return claim
	}
	// Bytes that do not compress: an index entry has to have room for them.
	const longest = "(SELECT substr(string_agg(sha256(i::text::bytea)::text, ''), 1, %d) FROM generate_series(1, 20) i)"
	for _, legal := range []map[string]string{
		{},
		claim(nil),
		{"refused": "true", "body": "'\\x00'", "lease_id": "gen_random_uuid()"},
		{"sealed": "true", "body": "'\\x00'", "retain_until": "now() + interval '2 days'"},
		{"response": "NULL", "expires_at": "now() + interval '2 days'", "retain_until": "now() + interval '2 days'"},
		{"scope": fmt.Sprintf(longest, 1024), "key": fmt.Sprintf(longest, 255)},
		{"scope": "'Tenant'"},
		{"scope": "'tenant'"},
		{"scope": "'tenant '"},
	} {
		require.NoError(t, insert(legal), legal)
	}
	for constraint, illegal := range map[string][]map[string]string{
		"idemtx_replies_pkey":   {{"scope": "'tenant'"}},
		"scope_length":          {{"scope": "''"}, {"scope": "repeat('x', 1025)"}, {"scope": "repeat('ß', 513)"}},
		"key_length":            {{"key": "''"}, {"key": "repeat('x', 256)"}, {"key": "repeat('ß', 128)"}},
		"fingerprint_is_sha256": {{"fingerprint": "''"}, {"fingerprint": "sha512('p')"}},
		"claimed_or_answered": {
			{"response": "NULL"},
			claim(map[string]string{"response": "'null'"}),
			{"response": "NULL", "retain_until": "now() + interval '2 days'"},
			{"retain_until": "now() + interval '1 day'"},
		},
		"claim_is_not_retained":  {claim(map[string]string{"retain_until": "now() + interval '2 days'"})},
		"retained_after_expiry":  {{"retain_until": "now() + interval '1 hour'"}},
		"sealed_has_body":        {{"sealed": "true"}, claim(map[string]string{"sealed": "true"})},
		"claim_has_holder":       {claim(map[string]string{"lease_id": "NULL"})},
		"claim_has_no_reply":     {claim(map[string]string{"body": "''"}), claim(map[string]string{"refused": "true"})},
		"expires_after_creation": {{"expires_at": "now()"}, {"expires_at": "now() - interval '1 day'"}},
	} {
		for _, row := range illegal {
			var pgErr *pgconn.PgError
			require.ErrorAs(t, insert(row), &pgErr, row)
			require.Equal(t, constraint, pgErr.ConstraintName, row)
		}
	}
}
