package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

const cureMark = ", cure: "

// differences returns those of a *SchemaError without their cures.
func differences(t *testing.T, err error) []string {
	t.Helper()
	var schemaErr *idemtx.SchemaError
	require.ErrorAs(t, err, &schemaErr)
	texts := make([]string, len(schemaErr.Differences))
	for i, difference := range schemaErr.Differences {
		var cured bool
		texts[i], _, cured = strings.Cut(difference, cureMark)
		require.True(t, cured, difference)
	}
	return texts
}

// cure does what err says.
func cure(t *testing.T, store *idemtx.Store, err error) {
	t.Helper()
	var schemaErr *idemtx.SchemaError
	require.ErrorAs(t, err, &schemaErr)
	for _, difference := range schemaErr.Differences {
		_, sql, _ := strings.Cut(difference, cureMark)
		if strings.HasPrefix(sql, "call CreateSchema") {
			require.NoError(t, store.CreateSchema(t.Context()))
		} else {
			exec(t, sql)
		}
	}
}

// shape describes a table except for what a cure may do otherwise: the order of
// columns and the names of indexes.
func shape(t *testing.T, pool *pgxpool.Pool, table string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation,
			pg_get_expr(adbin, adrelid))
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE attrelid = @table::regclass AND attnum > 0 AND NOT attisdropped
		UNION ALL
		SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = @table::regclass AND contype <> 'n'
		UNION ALL
		SELECT concat_ws(' ', relkind, relpersistence, relrowsecurity) FROM pg_class WHERE oid = @table::regclass
		ORDER BY 1`, pgx.NamedArgs{"table": table})
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return lines
}

// broken is a change to {table}, and what VerifySchema is to say about it.
type broken struct{ name, breaks, says string }

// check breaks the table of store, whose name is order, and cures it.
func (b broken) check(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	store, table := newStore(t, pool, idemtx.Config{Schema: schema, Table: "order"}), quoted(schema, "order")
	require.NoError(t, store.CreateSchema(t.Context()))
	before := shape(t, pool, table)
	fill := strings.NewReplacer("{schema}", quoted(schema), "{table}", table, "{alter}", "ALTER TABLE "+table,
		"{index}", quoted(schema, "order_expires_at_idx"))
	exec(t, fill.Replace(b.breaks))

	err := store.VerifySchema(t.Context())
	var says []string
	for difference := range strings.SplitSeq(b.says, "; ") {
		says = append(says, fill.Replace(difference))
	}
	require.Equal(t, says, differences(t, err))
	require.ErrorContains(t, err, "idemtx: table "+table+" is not as needed: ")
	if says[0] != "the table is missing" {
		require.Equal(t, err, store.CreateSchema(t.Context()))
		require.Equal(t, err, store.VerifySchema(t.Context()), "CreateSchema changed what it found")
	}
	cure(t, store, err)
	require.NoError(t, store.VerifySchema(t.Context()))
	require.Subset(t, shape(t, pool, table), before)
}

func TestVerifySchemaNamesEachDifferenceAndItsCure(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for _, b := range everyDifference {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			b.check(t, pool, freeSchema(t))
		})
	}
	t.Run("ForeignTable", func(t *testing.T) {
		t.Parallel()
		schema := freeSchema(t)
		t.Cleanup(func() { exec(t, "DROP FOREIGN DATA WRAPPER IF EXISTS "+quoted(schema)+" CASCADE") })
		broken{
			breaks: `DROP TABLE {table}; CREATE FOREIGN DATA WRAPPER {schema};
				CREATE SERVER {schema} FOREIGN DATA WRAPPER {schema}; CREATE FOREIGN TABLE {table} () SERVER {schema}`,
			says: "the name is taken by something else: foreign table; the table is missing",
		}.check(t, pool, schema)
	})
}

// A CREATE INDEX CONCURRENTLY that fails leaves its index behind, and CREATE
// INDEX IF NOT EXISTS is content with it.
func TestVerifySchemaSeesFailedIndex(t *testing.T) {
	t.Parallel()
	pool, schema := newPool(t), freeSchema(t)
	store, table := newStore(t, pool, idemtx.Config{Schema: schema}), quoted(schema, "idemtx_replies")
	require.NoError(t, store.CreateSchema(t.Context()))
	exec(t, "DROP INDEX "+quoted(schema, "idemtx_replies_expires_at_idx"))
	writer, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = writer.Rollback(t.Context()) }() // before the pool waits for it
	_, err = writer.Exec(t.Context(), "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), `CREATE INDEX CONCURRENTLY "o" ON `+table+" (expires_at)")
		failed <- err
	}()
	// It has made the index, and waits for the writer before it fills it.
	require.Eventually(t, func() bool {
		return ask[bool](t, `SELECT count(pg_cancel_backend(pid)) = 1 FROM pg_locks WHERE locktype = 'virtualxid'
			AND NOT granted AND pg_blocking_pids(pid) = ARRAY[$1::int]`, int32(writer.Conn().PgConn().PID()))
	}, patience, time.Millisecond)
	require.ErrorContains(t, <-failed, "canceling statement")
	require.NoError(t, writer.Rollback(t.Context()))

	exec(t, store.SchemaSQL()) // finds its own name free and creates a second one
	require.NoError(t, store.VerifySchema(t.Context()))
	exec(t, "DROP INDEX "+quoted(schema, "idemtx_replies_expires_at_idx"))
	err = store.VerifySchema(t.Context())
	require.Equal(t, []string{"index " + quoted(schema, "o") + " on expires_at is not valid: its creation failed or has not ended"}, differences(t, err))
	cure(t, store, err)
	require.NoError(t, store.VerifySchema(t.Context()))
}

func TestVerifySchemaOfPartitionedTable(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{
			"UnloggedPartition", "ALTER TABLE {p0} SET UNLOGGED",
			"{p0} is UNLOGGED: a crash empties it, and what was done is done again",
		},
		{
			"NoIndex", "DROP INDEX {index}",
			"an index on expires_at is missing in {p0}; an index on expires_at is missing in {p1}; an index on expires_at is missing",
		},
		{
			"IndexWithoutPartitions", `DROP INDEX {index}; CREATE INDEX "o" ON ONLY {table} (expires_at)`,
			"an index on expires_at is missing in {p0}; an index on expires_at is missing in {p1}; " +
				`an index on expires_at is missing: "o" does not cover every partition`,
		},
		{
			"IndexOfOnePartition", `DROP INDEX {index}; CREATE INDEX ON {p0} (expires_at)`,
			"an index on expires_at is missing in {p1}; an index on expires_at is missing",
		},
		{
			// As one is that was made CONCURRENTLY and was broken off.
			"InvalidIndexOfOnePartition", `DROP INDEX {index}; CREATE INDEX "O" ON {p0} (expires_at);
			UPDATE pg_index SET indisvalid = false WHERE indrelid = '{p0}'::regclass AND indexrelid = '{o}'::regclass`,
			"an index on expires_at is missing in {p1}; index {o} on expires_at is not valid: its creation failed or has not ended; " +
				"an index on expires_at is missing",
		},
		{
			"PrimaryKeyWithoutPartitions", `ALTER TABLE {table} DROP CONSTRAINT idemtx_replies_pkey;
			ALTER TABLE ONLY {table} ADD PRIMARY KEY (scope, key)`,
			"the primary key is not valid",
		},
	} {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			schema := freeSchema(t)
			store := newStore(t, newPool(t), idemtx.Config{Schema: schema})
			fill := strings.NewReplacer("{table}", quoted(schema, "idemtx_replies"), "{p0}", quoted(schema, "P0"),
				"{p1}", quoted(schema, "P1"), "{index}", quoted(schema, "idemtx_replies_expires_at_idx"),
				"{o}", quoted(schema, "O"))
			exec(t, strings.Replace(store.SchemaSQL(), "\n);", "\n) PARTITION BY HASH (scope);", 1))
			exec(t, fill.Replace(`CREATE TABLE {p0} PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER 0);
				CREATE TABLE {p1} PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER 1)`))
			require.NoError(t, store.VerifySchema(t.Context()))
			exec(t, fill.Replace(b.breaks))
			err := store.VerifySchema(t.Context())
			require.Equal(t, fill.Replace(b.says), strings.Join(differences(t, err), "; "))
			cure(t, store, err)
			require.NoError(t, store.VerifySchema(t.Context()))
			require.Equal(t, 2, ask[int](t, `SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND tablename IN ('P0', 'P1')
				AND indexdef LIKE '%(expires_at)'`, schema), "no index is made twice")
		})
	}
}

func TestVerifySchemaAcceptsWhatDoesNoHarm(t *testing.T) {
	t.Parallel()
	schema := freeSchema(t)
	store, table := newStore(t, newPool(t), idemtx.Config{Schema: schema}), quoted(schema, "idemtx_replies")
	require.NoError(t, store.CreateSchema(t.Context()))
	exec(t, "DROP INDEX "+quoted(schema, "idemtx_replies_expires_at_idx"))
	for _, change := range []string{
		"CREATE INDEX ON " + table + " (expires_at DESC, scope) INCLUDE (refused)",
		"CREATE INDEX ON " + table + " (expires_at) WHERE refused",
		"ALTER TABLE " + table + " RENAME CONSTRAINT idemtx_replies_pkey TO other",
		"ALTER TABLE " + table + " ADD COLUMN note text",
		"ALTER TABLE " + table + " ADD COLUMN filled int NOT NULL DEFAULT 1",
		"ALTER TABLE " + table + " ADD COLUMN counted int GENERATED ALWAYS AS IDENTITY",
		"ALTER TABLE " + table + " ADD COLUMN computed int GENERATED ALWAYS AS (octet_length(key)) STORED NOT NULL",
		"ALTER TABLE " + table + " ADD CONSTRAINT short CHECK (octet_length(body) < 100000) NOT VALID",
	} {
		exec(t, change)
		require.NoError(t, store.VerifySchema(t.Context()), change)
	}
}

func TestCuresKeepRows(t *testing.T) {
	t.Parallel()
	pool, schema := newPool(t), freeSchema(t)
	store, table := newStore(t, pool, idemtx.Config{Schema: schema}), quoted(schema, "idemtx_replies")
	require.NoError(t, store.CreateSchema(t.Context()))
	exec(t, "INSERT INTO "+table+` (scope, key, fingerprint, response, body, created_at, expires_at, lease_id)
		VALUES ('s', 'k', sha256('p'), '{"id": 7}', '\x00ff', '2026-01-01Z', '2026-01-02Z', gen_random_uuid())`)
	row := func() (text string) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT to_jsonb(r)::text FROM "+table+" r").Scan(&text))
		return text
	}
	before := row()
	exec(t, "ALTER TABLE "+table+` ALTER created_at TYPE timestamp, ALTER lease_id TYPE text, ALTER lease_until TYPE text,
		ALTER response TYPE text, ALTER body TYPE text, ALTER scope TYPE varchar,
		DROP COLUMN refused`)
	err := store.VerifySchema(t.Context())
	require.Len(t, differences(t, err), 8)
	cure(t, store, err)
	require.NoError(t, store.VerifySchema(t.Context()))
	require.JSONEq(t, before, row())
}

func TestVerifySchemaByRole(t *testing.T) {
	t.Parallel()
	schema, role := freeSchema(t), newRole(t)
	table, owner := quoted(schema, "idemtx_replies"), newStore(t, newPool(t), idemtx.Config{Schema: schema})
	require.NoError(t, owner.CreateSchema(t.Context()))
	exec(t, "ALTER TABLE "+table+" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
	require.NoError(t, owner.VerifySchema(t.Context()), "a superuser sees every row")

	store := newStore(t, newPool(t, asRole(role)), idemtx.Config{Schema: schema})
	err := store.VerifySchema(t.Context())
	says := []string{
		"role {role} may not use the schema",
		"row security hides rows from role {role}",
		"role {role} may not SELECT", "role {role} may not INSERT", "role {role} may not UPDATE", "role {role} may not DELETE",
	}
	for i := range says {
		says[i] = strings.Replace(says[i], "{role}", quoted(role), 1)
	}
	require.Equal(t, says, differences(t, err))
	cure(t, store, err)
	require.NoError(t, store.VerifySchema(t.Context()))
}

func TestVerifySchemaInEveryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
			everything := everyDifference[len(everyDifference)-1]
			everything.check(t, pool, freeSchema(t))
		})
	}
}
