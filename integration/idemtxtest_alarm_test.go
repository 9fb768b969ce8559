package integration

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// statement is a handler of one.
func (f *fixture) statement(text string) func(context.Context, pgx.Tx) (order, error) {
	return func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := tx.Exec(ctx, f.sql(text))
		return order{}, err
	}
}

// The handlers here do nothing wrong, and look as if they did.
func TestCrashRaisesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		definition, statement, seen string
	}{
		"a counter that is not there yet": {
			"CREATE TABLE {schema}.counters (day date PRIMARY KEY, n int)",
			"INSERT INTO {schema}.counters VALUES ('2030-01-01', 1) ON CONFLICT (day) DO UPDATE SET n = counters.n + 1",
			"\tthe first run is not compared: it has inserted rows that later ones update\n" +
				"\t{schema}.counters: 1 row updated, compared in day, n",
		},
		"a time to the second": {
			"CREATE TABLE {schema}.log (note text, at timestamptz(0), unix bigint)",
			"INSERT INTO {schema}.log VALUES ('a', now(), extract(epoch FROM now()))",
			"\t{schema}.log: 1 row inserted, compared in note",
		},
		"an audit of the session": {
			"CREATE TABLE {schema}.log (note text, pid int, name text)",
			"INSERT INTO {schema}.log VALUES ('a', pg_backend_pid(), current_setting('application_name'))",
			"\t{schema}.log: 1 row inserted, compared in note",
		},
		"a column that is called like the row": {
			"CREATE TABLE {schema}.log (r int, row text)",
			"INSERT INTO {schema}.log VALUES (1, 'a')",
			"\t{schema}.log: 1 row inserted, compared in r, row",
		},
		"floats that are added to": {
			"CREATE TABLE {schema}.sums (a real, b float8); INSERT INTO {schema}.sums VALUES (0.1, 0.1)",
			"UPDATE {schema}.sums SET a = a + 0.1, b = b + 12345.65",
			"\t{schema}.sums: 1 row updated, compared in a, b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := withTable(t, test.definition, withMaxAttempts(1))
			r := crash(f, f.statement(test.statement))
			requirePasses(f, r)
			_, seen, _ := strings.Cut(r.logs[0], "\n")
			require.Equal(t, f.sql(test.seen), seen)
		})
	}
}

// So it is with a time in the reply.
func TestCrashPassesATimeToTheSecondInTheReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	var mu sync.Mutex
	var seen []int64
	requirePasses(f, crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := f.effect(ctx, tx, "k")
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, now.Unix())
		return order{Number: now.Unix(), Note: now.UTC().Format(time.RFC3339)}, err
	}))
	require.NotEqual(t, seen[0], seen[3], "of the clean runs, which are the first, the third and the fourth, the last is of another second")
}

// An upsert through the pool is still one outside of the transaction.
func TestCrashTellsOfAnUpsertOutside(t *testing.T) {
	t.Parallel()
	f := withTable(t, "CREATE TABLE {schema}.counters (day date PRIMARY KEY, n int)", withMaxAttempts(1))
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := f.pool.Exec(ctx, f.sql("INSERT INTO {schema}.counters VALUES ('2030-01-01', 1) ON CONFLICT (day) DO UPDATE SET n = counters.n + 1"))
		if err != nil {
			return order{}, err
		}
		return f.effect(ctx, tx, "k")
	})
	require.Contains(t, r.told(), f.sql("outside its transaction: in {schema}.counters, 1 row changed\n\tafter the transaction was rolled back"))
}
