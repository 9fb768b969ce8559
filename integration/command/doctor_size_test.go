package command

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
)

// Rows that are dead and not vacuumed away, and a table that is never vacuumed.
func TestDoctorFindsDeadRows(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	f.exec("ALTER TABLE {table} SET (autovacuum_enabled = false)")
	f.finds(idemadmin.LevelWarn, "vacuum", "autovacuum is off for "+f.table(), "RESET (autovacuum_enabled)")
	f.due(11_000)
	f.exec("DELETE FROM {table}")
	require.Eventually(t, func() bool {
		return ask[int](f, "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = $1::text::regclass", f.table()) >= 11_000
	}, patience, tick)
	found := f.examine("vacuum")
	require.Len(t, found, 2)
	require.Contains(t, found[1].Text, "11000 dead rows")
	require.Contains(t, found[1].Text, "never")
	f.exec(`VACUUM {table}`)
	f.exec(`ALTER TABLE {table} RESET (autovacuum_enabled)`)
	require.Eventually(t, func() bool { return len(f.examine("vacuum")) == 0 }, patience, 50*tick)
}

// Indexes do not shrink by themselves.
func TestDoctorFindsALargeIndex(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	f.exec(`INSERT INTO {table} (scope, key, fingerprint, response, created_at, expires_at)
		SELECT 'large', md5(i::text) || md5(i::text), sha256('x'), '{}', now(), now() + interval '1 day'
		FROM generate_series(1, 30000) AS i`)
	f.exec("ANALYZE {table}")
	require.Empty(t, f.examine("index"), "as large as its rows need")
	f.exec("DELETE FROM {table} WHERE key > '1'")
	f.exec("VACUUM {table}")
	f.exec("ANALYZE {table}")
	found := f.examine("index")
	require.Len(t, found, 1)
	require.Contains(t, found[0].Text, "idemtx_replies_pkey")
	f.exec(found[0].Advice)
	require.Empty(t, f.examine("index"))
}

// What is not known is not found.
func TestDoctorKnowsNoStatistics(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	f.exec("ALTER TABLE {table} SET (autovacuum_enabled = false)")
	f.due(30_000)
	require.Empty(t, f.examine("index"))
	require.Contains(t, f.command("doctor").out, "cannot be known")
}
