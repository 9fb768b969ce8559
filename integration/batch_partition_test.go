package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The table may be partitioned, and the server's errors are about the partition.
func TestBatchInAPartitionedTable(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(mode))
			partitioned(f)
			reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.NoError(t, err)
			requireOnce(f, "k", reply)
			_, err = f.batch(t.Context(), f.request("none"), batchOf(f.making("none"), returning+" WHERE false"))
			require.ErrorIs(t, err, pgx.ErrNoRows)
			_, err = f.batch(t.Context(), f.request("none"), batchOf("COMMIT", returning))
			require.ErrorIs(t, err, idemtx.ErrTxMisuse)
			require.Zero(t, f.effects("none")+f.rows("none"))
			none := lockless(f)
			exec(t, replace(f, "DELETE FROM @; DELETE FROM $.effects"))
			batchRace(t, 20, f.peer(none), f.peer(none), f.peer(none))
		})
	}
}

// partitioned makes the table one of partitions.
func partitioned(f *fixture) {
	f.t.Helper()
	exec(f.t, replace(f, `ALTER TABLE @ RENAME TO plain;
		CREATE TABLE @ (LIKE $.plain INCLUDING ALL) PARTITION BY HASH (scope);
		CREATE TABLE $.one PARTITION OF @ FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE $.two PARTITION OF @ FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		DROP TABLE $.plain`))
}
