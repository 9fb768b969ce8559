package outbox

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// patience is how long anything here may take. It is never reached but when
// something is broken.
const patience = 2 * time.Minute

const tick = 5 * time.Millisecond

// Who sends the order, under which key, and for whom: none of it is for logs.
const (
	token    = "token-of-the-shop"
	key      = "key-of-the-order"
	customer = "Ada, Countess"
)

// scene is a schema of one test, in which processes of the service come and go. The
// first of them runs the mail provider, works no jobs, and lives until the end.
type scene struct {
	*testing.T
	schema    string
	conn      *pgx.Conn // the test's own: it looks, and holds the gates
	office    *process
	desk      *desk
	processes []*process
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := newStage(t)
	s.office = s.start("office", "-work=false")
	s.desk = newDesk(t, s.office.mails())
	s.exec(strings.ReplaceAll(gates, "{schema}", s.schema))
	return s
}

// newStage is a scene without tables and processes.
func newStage(t *testing.T) *scene {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL)
	require.NoError(t, err)
	s := &scene{T: t, conn: conn, schema: "t_" + strings.ToLower(rand.Text())}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if !t.Failed() { // a failed test keeps its rows for psql
			_, err := conn.Exec(ctx, "DROP SCHEMA "+s.schema+" CASCADE")
			require.NoError(t, err)
		}
		_ = conn.Close(ctx)
	})
	t.Cleanup(s.end)
	return s
}

// end stops what still runs, and looks for secrets in what has been said.
func (s *scene) end() {
	for _, p := range s.processes {
		p.interrupted()
		for _, secret := range []string{token, key, customer, s.downstreamKey()} {
			require.NotContains(s, p.stderr.String(), secret)
		}
	}
}

// downstreamKey is what the mail of the order is to be sent with.
func (s *scene) downstreamKey() string {
	s.Helper()
	owner, err := scope.New("", token)
	require.NoError(s, err)
	downstream, err := idemtx.DownstreamKey(idemtx.Request{Scope: owner, Key: key}, "confirmation mail")
	require.NoError(s, err)
	return downstream
}

func (s *scene) exec(sql string, args ...any) {
	s.Helper()
	_, err := s.conn.Exec(context.WithoutCancel(s.Context()), sql, args...)
	require.NoError(s, err, sql)
}

// ask returns the one value of a query. {schema} is the scene's.
func ask[T any](s *scene, sql string, args ...any) T {
	s.Helper()
	var value T
	sql = strings.ReplaceAll(sql, "{schema}", s.schema)
	require.NoError(s, s.conn.QueryRow(s.Context(), sql, args...).Scan(&value), sql)
	return value
}

// until waits for what comes true.
func (s *scene) until(what string, done func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !done(); <-time.After(tick) {
		if time.Now().After(deadline) {
			require.FailNow(s, "in vain: "+what, s.described())
		}
	}
}

// described is the only job, for who reads of a failure.
func (s *scene) described() string {
	s.Helper()
	return ask[string](s, `SELECT coalesce(max(concat_ws(' ', state, attempt, scheduled_at - clock_timestamp(), errors[1] ->> 'error')), 'none')
		FROM {schema}.river_job`)
}

// receive waits for a channel.
func receive[T any](s *scene, what string, c <-chan T) T {
	s.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(patience):
		require.FailNow(s, "in vain: "+what, s.described())
		panic("unreachable")
	}
}

// counts are of all that a scene has. Each has one order at the most.
type counts struct{ orders, replies, jobs, mails int }

func (s *scene) count() counts {
	s.Helper()
	return counts{
		orders:  ask[int](s, "SELECT count(*) FROM {schema}.orders"),
		replies: ask[int](s, "SELECT count(*) FROM {schema}.idemtx_replies WHERE response IS NOT NULL"),
		jobs:    ask[int](s, "SELECT count(*) FROM {schema}.river_job"),
		mails:   ask[int](s, "SELECT count(*) FROM {schema}.mails"),
	}
}

// job is the state of the only job.
func (s *scene) job() string {
	s.Helper()
	return ask[string](s, "SELECT coalesce(max(state::text), 'none') FROM {schema}.river_job")
}

// confirmed waits until the mail's job is done, and sees that it has been done once
// for one order, by calls with one key and one body, which is that of the request.
func (s *scene) confirmed() {
	s.Helper()
	s.until("the job is completed", func() bool { return s.job() == "completed" })
	require.Equal(s, counts{orders: 1, replies: 1, jobs: 1, mails: 1}, s.count())
	require.Equal(s, customer, ask[string](s, "SELECT recipient FROM {schema}.mails"))
	calls := s.desk.seen()
	require.NotEmpty(s, calls)
	require.Equal(s, s.downstreamKey(), calls[0].key)
	for _, c := range calls {
		require.Equal(s, calls[0], c)
	}
}
