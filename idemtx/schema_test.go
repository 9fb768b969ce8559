package idemtx

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// unconnected returns a store whose pool reaches no server.
func unconnected(t *testing.T, config Config) *Store {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := New(pool, config)
	require.NoError(t, err)
	return store
}

// People have this text in their migrations: what changes it needs a migration
// for them, too.
func TestSchemaSQLIsFrozen(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/schema.sql")
	require.NoError(t, err)
	require.Equal(t, string(golden), unconnected(t, Config{}).SchemaSQL())
}

func TestSchemaSQLIsPlain(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{{}, {Schema: "app", Table: "order"}, {Schema: `a"b`, Table: strings.Repeat("x", maxTable)}} {
		sql := unconnected(t, config).SchemaSQL()
		require.NotRegexp(t, `[{}@?]|\$`, sql)
		require.Regexp(t, `[^\n]\n$`, sql)
		require.Equal(t, config.Schema != "", strings.Contains(sql, "CREATE SCHEMA"))
		for line := range strings.Lines(sql) { // some tools cut at a line that ends so
			require.False(t, strings.HasPrefix(strings.TrimSpace(line), "--") && strings.HasSuffix(line, ";\n"), line)
		}
	}
}

func TestSchemaSQLQuotesNames(t *testing.T) {
	t.Parallel()
	sql := unconnected(t, Config{Schema: `{table} "x"; {index}`, Table: "user"}).SchemaSQL()
	for _, part := range []string{
		`CREATE SCHEMA IF NOT EXISTS "{table} ""x""; {index}";`,
		`CREATE TABLE IF NOT EXISTS "{table} ""x""; {index}"."user" (`,
		`CONSTRAINT "user_pkey" PRIMARY KEY`,
		`INDEX IF NOT EXISTS "user_expires_at_idx" ON "{table} ""x""; {index}"."user" (expires_at);`,
	} {
		require.Contains(t, sql, part)
	}
}

func TestDerivedNamesAreNotTruncated(t *testing.T) {
	t.Parallel()
	require.Equal(t, 48, maxTable)
	for _, suffix := range []string{pkeySuffix, indexSuffix} {
		require.LessOrEqual(t, maxTable+len(suffix), maxIdentifier)
	}
}

func TestValidSchemaName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"public", "select", `a"b c`, "Ä", strings.Repeat("x", 63)} {
		require.True(t, validSchemaName(name), name)
	}
	for _, name := range []string{"", "a\x00b", "a\xff", strings.Repeat("x", 64), strings.Repeat("ß", 32)} {
		require.False(t, validSchemaName(name), name)
	}
}

func TestMissingSchema(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{Table: "order"})
	for code, difference := range map[string]string{
		"42P01": "the table is missing, cure: call CreateSchema, or put SchemaSQL into your migrations",
		"3F000": "the table is missing, cure: call CreateSchema, or put SchemaSQL into your migrations",
		"42703": "a column is missing, cure: call VerifySchema, which says which",
	} {
		require.Equal(t, &SchemaError{Table: `"public"."order"`, Differences: []string{difference}}, store.missingSchema(code))
	}
	for _, code := range []string{"", "23505", "42501", "42P02"} {
		require.Nil(t, store.missingSchema(code))
	}
}

func TestOldServer(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for version, says := range map[int][]string{
		130022: {"PostgreSQL 13 is too old, cure: upgrade it to 14 or later", "the table is missing, cure: " + cureMissing},
		140000: {"the table is missing, cure: " + cureMissing},
	} {
		require.Equal(t, says, store.differences(&relation{ServerVersion: version}))
	}
}

// A cure may be pasted while requests are served.
func TestCuresLetOthersWrite(t *testing.T) {
	t.Parallel()
	cures := strings.Join(unconnected(t, Config{}).differences(&relation{
		ServerVersion: minVersion, Kind: "TABLE", Checks: []string{"scope_length"}, NotValid: []string{"scope_length"},
		PrimaryKey: "p", PrimaryKeyColumns: []string{"scope", "key"}, PrimaryKeyValid: true,
	}), "\n")
	const alter = `, cure: ALTER TABLE "public"."idemtx_replies" `
	require.Contains(t, cures, `, cure: CREATE INDEX CONCURRENTLY ON "public"."idemtx_replies" (expires_at)`)
	require.Contains(t, cures, alter+"VALIDATE CONSTRAINT scope_length\n")
	require.Contains(t, cures, alter+"ADD CONSTRAINT key_length CHECK (octet_length(key) BETWEEN 1 AND 255) NOT VALID; "+
		`ALTER TABLE "public"."idemtx_replies" VALIDATE CONSTRAINT key_length`+"\n")
}

func TestErrorsOfNoServer(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	require.ErrorContains(t, store.VerifySchema(t.Context()), "idemtx: verify schema: ")
	require.ErrorContains(t, store.CreateSchema(t.Context()), "idemtx: verify schema: ")
}

// A migration that was applied somewhere is never changed, not even by a byte.
func TestMigrationsAreFrozen(t *testing.T) {
	t.Parallel()
	sums := map[string]string{}
	for i, m := range unconnected(t, Config{}).Migrations() {
		require.Equal(t, i+1, m.Version)
		require.Regexp(t, `^[a-z_]+$`, m.Name)
		require.NotRegexp(t, `[{}]`, m.SQL)
		sum := sha256.Sum256([]byte(m.SQL))
		sums[m.Name] = hex.EncodeToString(sum[:4])
	}
	require.Equal(t, map[string]string{"create": "235d9a82", "retain_and_seal": "4643e098", "validate": "ce2eb909"}, sums)
}
