package integration

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// TestTripsAreTold sees through internal/pgwire what pgx sends, in each of its
// modes.
func TestTripsAreTold(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var trips []*pgwire.Trip
			conn := judged(t, mode, func(trip *pgwire.Trip) pgwire.Fate {
				if len(trip.Statements) > 0 { // the others prepare
					trips = append(trips, trip)
				}
				return pgwire.Deliver
			})
			insert := "INSERT INTO " + f.schema + ".effects (key) VALUES ($1)"
			for range 2 { // the second time it is prepared
				b := &pgx.Batch{}
				b.BeginTx(pgx.TxOptions{})
				b.Queue(insert, "k")
				b.Queue("commit")
				require.NoError(t, conn.SendBatch(t.Context(), b).Close())
			}
			_, err := conn.CopyFrom(t.Context(), pgx.Identifier{f.schema, "effects"}, []string{"key"},
				pgx.CopyFromRows([][]any{{"k"}, {"k"}}))
			require.NoError(t, err)
			require.Equal(t, 4, f.effects("k"))
			require.Equal(t, 2, count(trips, (*pgwire.Trip).Commits))
			require.Equal(t, 2, count(trips, func(trip *pgwire.Trip) bool { return trip.Has("INSERT INTO " + f.schema) }))
			require.Equal(t, 1, count(trips, func(trip *pgwire.Trip) bool { return trip.Has("copy ") }))
			for _, trip := range trips {
				require.Equal(t, conn.PgConn().PID(), trip.Backend)
			}
		})
	}
}

// TestTripsMeetTheirFate loses a trip before the server hears of it, after its
// answer, and in between.
func TestTripsMeetTheirFate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fate pgwire.Fate
		done []int // what may have been done
	}{
		"dropped":   {pgwire.Drop, []int{0}},
		"swallowed": {pgwire.Swallow, []int{1}},
		"abandoned": {pgwire.Abandon, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			effects := make(chan int, 1)
			var once sync.Once
			conn := judged(t, pgx.QueryExecModeExec, func(trip *pgwire.Trip) pgwire.Fate {
				fate := pgwire.Deliver
				once.Do(func() {
					fate = test.fate
					trip.Answered = func() { effects <- f.effects("k") }
				})
				return fate
			})
			_, err := conn.Exec(t.Context(), "INSERT INTO "+f.schema+".effects (key) VALUES ($1)", "k")
			require.Error(t, err)
			require.True(t, conn.IsClosed())
			if test.fate == pgwire.Swallow {
				require.Equal(t, 1, <-effects)
			}
			<-conn.PgConn().CleanupDone()
			require.Contains(t, test.done, f.effects("k"))
			require.Empty(t, effects)
		})
	}
}

// TestAnswerIsHeldUntilItIsWhole: what is called when the answer has come is
// called before the client hears of it.
func TestAnswerIsHeldUntilItIsWhole(t *testing.T) {
	t.Parallel()
	var heard []string
	conn := judged(t, pgx.QueryExecModeExec, func(trip *pgwire.Trip) pgwire.Fate {
		trip.Answered = func() { heard = append(heard, "answered") }
		return pgwire.Deliver
	})
	rows, err := conn.Query(t.Context(), "SELECT repeat('x', 10000) FROM generate_series(1, 100)")
	require.NoError(t, err)
	heard = append(heard, "asked")
	n := 0
	for rows.Next() {
		n++
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 100, n)
	_, err = conn.CopyFrom(t.Context(), pgx.Identifier{"pg_temp", "none"}, []string{"a"}, pgx.CopyFromRows(nil))
	require.Error(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TEMP TABLE copied (a int)")
	require.NoError(t, err)
	_, err = conn.CopyFrom(t.Context(), pgx.Identifier{"copied"}, []string{"a"}, pgx.CopyFromRows([][]any{{1}}))
	require.NoError(t, err)
	require.Equal(t, []string{"answered", "asked"}, heard[:2])
}

// judged is a connection of one test whose trips are judged.
func judged(t *testing.T, mode pgx.QueryExecMode, judge func(*pgwire.Trip) pgwire.Fate) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(serverURL())
	require.NoError(t, err)
	config.DefaultQueryExecMode = mode
	pgwire.Inject(&config.Config, judge)
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

func count[T any](all []T, is func(T) bool) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !is(one) }))
}
