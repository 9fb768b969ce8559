package idemtxtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExcerptShowsNoLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO orders\n\t(sku, t1)  VALUES ($1, $2)": "INSERT INTO orders (sku, t1) VALUES ($1, $2)",
		"SELECT  'secret' ":                  "SELECT ...",
		"UPDATE a SET b = 42 WHERE c":        "UPDATE a SET b = ...",
		"SELECT  -1 ":                        "SELECT - ...",
		"SELECT E'\\x'":                      "SELECT E ...",
		"DO $$ BEGIN END $$":                 "DO ...",
		"DO $body$ BEGIN END $body$":         "DO ...",
		"SELECT größe1 FROM \"t 1\"":         "SELECT größe1 FROM \"t ...",
		"SELECT " + strings.Repeat("é", 100): "SELECT " + strings.Repeat("é", 53) + " ...",
		"commit":                             "commit",
	} {
		require.Equal(t, want, excerpt(text))
	}
	require.Equal(t, "statement 2 (SELECT a)", named(2, 2, "SELECT a"))
	require.Equal(t, "statements 2 to 3 (SELECT a; SELECT b)", named(2, 3, "SELECT a; SELECT b"))
}

// told gathers what a test is told.
type told struct {
	testing.TB
	failures []string
	logs     []string
}

func (t *told) Helper() {}

func (t *told) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

func (t *told) Logf(format string, args ...any) {
	t.logs = append(t.logs, fmt.Sprintf(format, args...))
}

func (t *told) Fatalf(format string, args ...any) { t.Errorf(format, args...) } // and goes on

func TestReportTellsOnceWhatIsWrongInManyPlaces(t *testing.T) {
	t.Parallel()
	var r report
	to := &told{TB: t}
	require.False(t, r.tell(to))
	for i := range 6 {
		r.add([]string{"this", "that"}[:1+i%2], fmt.Sprint("here ", i))
	}
	require.True(t, r.tell(to))
	require.Equal(t, []string{
		"idemtxtest: this\n\there 0\n\there 1\n\there 2\n\there 3\n\tand 2 more",
		"idemtxtest: that\n\there 1\n\there 3\n\there 5",
	}, to.failures)
}

// What a table that anybody may write to has come to may be another's doing.
func TestReportSaysThatAllTablesWereLookedAt(t *testing.T) {
	t.Parallel()
	for _, only := range [][]string{nil, {"sales"}} {
		to := &told{TB: t}
		b := &bench{tb: to, eye: eye{only: only}}
		require.False(t, b.tell())
		require.Empty(t, to.logs)
		b.report.add([]string{"this"}, "here")
		require.True(t, b.tell())
		require.Len(t, to.logs, 1-len(only))
	}
}
