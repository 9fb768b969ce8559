package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func partitioning(n int) option {
	return withConfig(func(c *idemtx.Config) { c.Partitions = n })
}

// The contract holds for each layout of the table and each way of keeping a row.
func TestContractOfEachLayout(t *testing.T) {
	t.Parallel()
	for layout, via := range map[string]option{
		"partitioned": partitioning(3),
		"sealed":      sealing(newRing(t)),
	} {
		for _, m := range modes {
			t.Run(layout+"/"+string(m.name), func(t *testing.T) {
				t.Parallel()
				for name, promise := range contract {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						promise(t, m, via)
					})
				}
			})
		}
	}
}

func TestPartitionedTable(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 5, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			pool, schema := newPool(t), newSchema(t)
			store := newStore(t, pool, idemtx.Config{Schema: schema, Table: "order", Partitions: n})
			require.NoError(t, store.CreateSchema(t.Context()))
			require.NoError(t, store.CreateSchema(t.Context()))
			require.NoError(t, store.VerifySchema(t.Context()))
			// A layout is that of the table, not of who looks at it.
			require.NoError(t, newStore(t, pool, idemtx.Config{Schema: schema, Table: "order"}).CreateSchema(t.Context()))
			exec(t, store.SchemaSQL())
			require.Equal(t, n, ask[int](t, "SELECT count(*) FROM pg_partition_tree($1) WHERE isleaf", quoted(schema, "order")))
			require.Equal(t, n, ask[int](t, "SELECT count(*) FROM pg_partition_tree($1) WHERE isleaf", quoted(schema, "order_expires_at_idx")))
		})
	}
}

// A partition that is missing is a row that cannot be stored.
func TestVerifySchemaMissesAPartition(t *testing.T) {
	t.Parallel()
	pool, schema := newPool(t), newSchema(t)
	store := newStore(t, pool, idemtx.Config{Schema: schema, Partitions: 4})
	require.NoError(t, store.CreateSchema(t.Context()))
	table := quoted(schema, "idemtx_replies")
	exec(t, "DROP TABLE "+quoted(schema, "idemtx_replies_p1")+"; DROP TABLE "+quoted(schema, "idemtx_replies_p3"))
	err := store.VerifySchema(t.Context())
	require.Equal(t, []string{"the partition for remainder 1 of 4 is missing", "the partition for remainder 3 of 4 is missing"}, differences(t, err))
	cure(t, store, err)
	require.NoError(t, store.VerifySchema(t.Context()))

	// One that was split is as good as whole.
	exec(t, strings.NewReplacer("@", table, "$", quoted(schema)).Replace(`DROP TABLE $.idemtx_replies_p1;
		CREATE TABLE $.a PARTITION OF @ FOR VALUES WITH (MODULUS 8, REMAINDER 1);
		CREATE TABLE $.b PARTITION OF @ FOR VALUES WITH (MODULUS 8, REMAINDER 5)`))
	require.NoError(t, store.VerifySchema(t.Context()))
	exec(t, "DROP TABLE "+quoted(schema)+".b")
	require.Equal(t, []string{"the partition for remainder 5 of 8 is missing"}, differences(t, store.VerifySchema(t.Context())))
	exec(t, "DROP TABLE "+quoted(schema)+".a; DROP TABLE "+quoted(schema)+".idemtx_replies_p0; DROP TABLE "+
		quoted(schema)+".idemtx_replies_p2; DROP TABLE "+quoted(schema)+".idemtx_replies_p3")
	require.Len(t, differences(t, store.VerifySchema(t.Context())), 4)
}

// Each request works on one partition, and a sweep on all of them.
func TestPartitionedTableIsSwept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, partitioning(4))
	exec(t, `INSERT INTO `+f.table()+` (scope, key, fingerprint, response, created_at, expires_at)
		SELECT 'principal ' || i, i::text, sha256('x'), '{}', now() - interval '3 days', now() - interval '2 days' + i * interval '1 second'
		FROM generate_series(1, 40) AS i`)
	require.Equal(t, 4, ask[int](t, "SELECT count(DISTINCT tableoid) FROM "+f.table()))
	n, err := f.store.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 10, n)
	require.Equal(t, "11", f.keys()[0])
	n, err = f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 30, n)
}

// PostgreSQL does not count on each row of a batch being in one partition, and would
// read all of them for each.
func TestSweepOfPartitionsReadsByTheIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t, partitioning(8))
	exec(t, `INSERT INTO `+f.table()+` (scope, key, fingerprint, response, created_at, expires_at)
		SELECT 'customer ' || i % 1000, i::text, sha256('x'), '{}', now() - interval '3 days', now() + (i - 400) * interval '1 minute'
		FROM generate_series(1, 40000) AS i`)
	exec(t, "ANALYZE "+f.table())
	sent := &statementsSent{args: map[string][]any{}}
	_, err := f.peer(withTracer(sent)).store.DeleteExpired(t.Context(), 1000)
	require.NoError(t, err)
	var settings, sweep string
	for sql := range sent.args {
		switch {
		case strings.Contains(sql, "enable_hashjoin"):
			settings = sql
		case strings.Contains(sql, "DELETE FROM"):
			sweep = sql
		}
	}
	tx, err := superuser.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	plan := func() string {
		rows, err := tx.Query(t.Context(), "EXPLAIN "+sweep, sent.args[sweep]...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	require.Contains(t, plan(), "Seq Scan on", "or the settings are of no use any more")
	_, err = tx.Exec(t.Context(), settings)
	require.NoError(t, err)
	require.NotContains(t, plan(), "Seq Scan on")
}
