package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A work that ends its transaction is told so, and is not run twice: what it has
// committed stays.
func batchWorkThatEndsItsTransaction(t *testing.T, via option) {
	f := newFixture(t, via)
	for i, ending := range [][]string{
		{"COMMIT"}, {"END"}, {"COMMIT", "BEGIN"}, {"COMMIT AND CHAIN"}, {"ROLLBACK"}, {"ABORT", "START TRANSACTION"},
	} {
		_, err := f.batch(t.Context(), f.request("k"), batchOf(append(append([]string{f.making("k")}, ending...), returning)...))
		require.ErrorIs(t, err, idemtx.ErrTxMisuse, ending)
		require.Equal(t, i+1, f.runs(), ending)
		require.Zero(t, f.rows("k"), ending)
		require.Equal(t, min(i+1, 4), f.effects("k"), ending)
		f.idle()
	}
}

// The same in the transaction of a request that was not free at first.
func TestBatchThatEndsItsTransactionLater(t *testing.T) {
	t.Parallel()
	for _, ending := range [][]string{{"COMMIT"}, {"COMMIT", "BEGIN"}, {"ROLLBACK"}} {
		f := newFixture(t)
		_, err := f.batch(t.Context(), f.request("k"), f.ordering("before"))
		require.NoError(t, err)
		f.expire("k")
		_, err = f.batch(t.Context(), f.request("k"), batchOf(append(append([]string{f.making("k")}, ending...), returning)...))
		require.ErrorIs(t, err, idemtx.ErrTxMisuse)
		require.Equal(t, 2, f.runs())
		f.idle()
	}
}

// A work may hold savepoints of its own.
func TestBatchWithASavepoint(t *testing.T) {
	t.Parallel()
	for _, exec := range execModes {
		f := newFixture(t, withExecMode(exec))
		reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k",
			"SAVEPOINT s", f.making("undone"), "ROLLBACK TO s", "RELEASE s"))
		require.NoError(t, err)
		require.Zero(t, f.effects("undone"))
		requireOnce(f, "k", reply)
	}
}
