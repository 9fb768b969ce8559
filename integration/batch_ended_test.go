package integration

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// Whatever comes behind the end may fail, too, and is not asked why: the work would be
// done twice.
func TestBatchThatFailsBehindItsEnd(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, failsBehindItsEnd)
}

func failsBehindItsEnd(t *testing.T, via option) {
	t.Helper()
	f := newFixture(t, via)
	decline := declining(f)
	endings := map[string][]string{
		"commit":            {"COMMIT"},
		"end":               {"END"},
		"rollback":          {"ROLLBACK"},
		"commit and begin":  {"COMMIT", "BEGIN"},
		"commit and chain":  {"COMMIT AND CHAIN"},
		"abort and begin":   {"ABORT", "START TRANSACTION"},
		"prepared and gone": {"ROLLBACK AND CHAIN"},
	}
	lasts := map[string]string{
		"a reply":      returning,
		"a failure":    decline("ID001"),
		"a raise":      decline("P0001"),
		"a data error": "SELECT 1 / (SELECT 0) AS number",
		"no row":       "SELECT 7 AS number WHERE false",
		"two rows":     "SELECT generate_series(1, 2) AS number",
		"too long":     "SELECT repeat('x', 2000000) AS note",
	}
	for ending, statements := range endings {
		for last, sql := range lasts {
			key := ending + " " + last
			before := f.runs()
			_, err := f.batch(t.Context(), f.request(key), batchOf(append(append([]string{f.making(key)}, statements...), sql)...))
			require.Error(t, err, key)
			require.Equal(t, before+1, f.runs(), "%s: %v", key, err)
			require.ErrorIs(t, err, idemtx.ErrTxMisuse, key)
			require.Zero(t, f.rows(key), key)
			committed := 1
			if strings.Contains(strings.Join(statements, " "), "ROLLBACK") || strings.Contains(strings.Join(statements, " "), "ABORT") {
				committed = 0
			}
			require.Equal(t, committed, f.effects(key), key)
			f.idle()
		}
	}
}

// One that fails in between has committed, too, and its error alone would say that
// nothing was done.
func TestBatchThatFailsBetweenItsEndAndItsReply(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, func(t *testing.T, via option) {
		t.Helper()
		f := newFixture(t, via)
		decline := declining(f)
		for i, ending := range [][]string{{"COMMIT"}, {"COMMIT", "BEGIN"}, {"COMMIT AND CHAIN"}} {
			work := append(append([]string{f.making("k")}, ending...), decline("ID001"), returning)
			_, err := f.batch(t.Context(), f.request("k"), batchOf(work...))
			require.ErrorIs(t, err, idemtx.ErrTxMisuse, ending)
			require.Equal(t, i+1, f.runs(), ending)
			require.Equal(t, i+1, f.effects("k"), ending)
			require.Zero(t, f.rows("k"), ending)
			f.idle()
		}
	})
}

// One text of several statements is possible in the simple protocol alone.
func TestBatchOfOneText(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withExecMode(pgx.QueryExecModeSimpleProtocol))
	_, err := f.batch(t.Context(), f.request("k"), batchOf(f.making("k")+"; COMMIT; BEGIN", returning))
	require.ErrorIs(t, err, idemtx.ErrTxMisuse)
	require.Equal(t, 1, f.runs())
	require.Zero(t, f.rows("k"))
	f.idle()
}
