package idemtxtest

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// trip is one on a session.
func trip(backend uint32, statements ...string) *pgwire.Trip {
	return &pgwire.Trip{Statements: statements, Backend: backend}
}

// A script stops at what is between BEGIN and COMMIT of one session, and nowhere
// else.
func TestStopsOfARun(t *testing.T) {
	t.Parallel()
	w := &wire{}
	require.Equal(t, pgwire.Deliver, w.judge(trip(1, "begin"))) // before there is a script
	var met []stop
	s := w.arm(pgx.TxOptions{}, func(at stop) pgwire.Fate {
		met = append(met, at)
		return pgwire.Swallow
	})
	for _, test := range []struct {
		trip  *pgwire.Trip
		place string
	}{
		{trip(1, "SET a.b TO c"), ""}, // a hook of the pool's
		{trip(1), ""},                 // a preparation
		{trip(1, "begin isolation level serializable", "SELECT lock", "SELECT look"), "BEGIN"},
		{trip(1), ""},
		{trip(1, "SELECT a"), "statement 1 (SELECT a)"},
		{trip(2, "SELECT pid"), ""},
		{trip(1, "SELECT b", "SELECT c"), "statements 2 to 3 (SELECT b; SELECT c)"},
		{trip(1, "SELECT d"), "statement 4 (SELECT d)"},
		{trip(1, "INSERT the reply", "commit"), "COMMIT"},
		{trip(1, "RESET ALL"), ""},
		{trip(1, "begin", "SELECT look"), ""}, // whether the COMMIT has landed
	} {
		before := len(met)
		fate := w.judge(test.trip)
		if test.place == "" {
			require.Len(t, met, before)
			require.Equal(t, pgwire.Deliver, fate)
			continue
		}
		require.Equal(t, pgwire.Swallow, fate)
		require.Len(t, met, before+1)
		at := met[before]
		require.Equal(t, test.place, at.place)
		require.Equal(t, before, at.number)
		require.Equal(t, test.place == "COMMIT", at.ends)
	}
	require.Equal(t, met, s.run())
}

// A refusal is committed in a transaction of its own, whose statements are not the
// handler's. In a transaction that was aborted the rollback comes by itself.
func TestStopsOfARefusal(t *testing.T) {
	t.Parallel()
	const begun = "begin isolation level read committed read write"
	for _, undoing := range [][]*pgwire.Trip{
		{trip(1, "SELECT the same", "rollback", begun, "SELECT lock")},
		{trip(1, "SELECT the same;rollback;"+begun+";SELECT lock;")},
		{trip(1, "rollback"), trip(1, begun, "SELECT lock")},
	} {
		w := &wire{}
		s := w.arm(pgx.TxOptions{}, nil)
		w.judge(trip(1, "begin", "SELECT lock"))
		w.judge(trip(1, "rollback to savepoint a"))
		for _, t := range undoing {
			w.judge(t)
		}
		w.judge(trip(1, "INSERT the reply", "commit"))
		w.judge(trip(1, "SELECT 1"))
		var places []string
		for _, at := range s.run() {
			places = append(places, at.place)
		}
		want := []string{"BEGIN", "statement 1 (rollback to savepoint a)", "ROLLBACK of the refusal", "COMMIT of the refusal"}
		if len(undoing) > 1 {
			want = slices.Insert(want, 3, "BEGIN of the refusal")
		}
		require.Equal(t, want, places)
		require.True(t, s.run()[len(places)-1].ends)
	}
}

func TestStopsOfATransactionWithItsOwnQueries(t *testing.T) {
	t.Parallel()
	w := &wire{}
	s := w.arm(pgx.TxOptions{BeginQuery: "START TRANSACTION", CommitQuery: "END"}, nil)
	w.judge(trip(1, "START TRANSACTION", "SELECT lock"))
	w.judge(trip(1, "INSERT the reply", "END"))
	w.judge(trip(1, "SELECT 1"))
	require.Len(t, s.run(), 2)
	require.Equal(t, "BEGIN", s.run()[0].place)
	require.True(t, s.run()[1].ends)
}
