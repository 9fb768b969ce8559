package page

import (
	"context"
	"crypto/rand"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

func TestTheOverviewCounts(t *testing.T) {
	t.Parallel()
	f := busy(t)
	f.do("expired", nil)
	f.exec("UPDATE " + f.table() + ` SET created_at = created_at - '48 h'::interval,
		expires_at = clock_timestamp() - '1 h'::interval WHERE key = 'expired'`)
	body := html.UnescapeString(f.serve(idemui.Config{}).get("").body)
	for _, figure := range []string{
		"<dt>Live replies</dt><dd>16<span>1 of them refusals",
		"<dt>In flight</dt><dd>2<span>1 of them claimed",
		"<dt>Due for the sweeper</dt><dd>1<span>the oldest for 1 h",
		"36 calls in the last hour",
		"First runs <b>16</b>", "Replays <b>19</b>", "Refused by the handler <b>1</b>",
		"<td>POST /orders</td><td>Do</td>", "<td>POST /orders</td><td>DoPool</td>",
		"<code>claimed-</code>",
	} {
		assert.Contains(t, body, figure)
	}
}

// However often the page is asked for, the table is counted once.
func TestCountsAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemui.Config{CountEvery: time.Hour})
	assert.Contains(t, s.get("").body, "<dt>Live replies</dt><dd>0<")
	f.do(key, nil)
	assert.Contains(t, s.get("").body, "<dt>Live replies</dt><dd>0<")

	s = f.serve(idemui.Config{CountEvery: 1})
	assert.Contains(t, s.get("").body, "<dt>Live replies</dt><dd>1<")
	f.do("another", nil)
	until(t, "a count is renewed", func() bool {
		return strings.Contains(s.get("").body, "<dt>Live replies</dt><dd>2<")
	})
}

// An error is as old as a count would be, and is logged when it is met.
func TestAnErrorIsLoggedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("DROP TABLE " + f.table())
	s := f.serve(idemui.Config{CountEvery: time.Hour})
	for range 3 {
		s.get("")
	}
	assert.Equal(t, 1, strings.Count(f.log.String(), "the table cannot be counted"))
	assert.Equal(t, 1, strings.Count(f.log.String(), "the claims cannot be listed"))
}

// slowed has every row of the table take longer to read than anybody waits.
func slowed(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.do(key, nil)
	f.exec("ANALYZE " + f.table())
	role := "r_" + strings.ToLower(rand.Text())
	f.exec("CREATE ROLE " + role)
	t.Cleanup(func() { f.exec("DROP OWNED BY " + role); f.exec("DROP ROLE " + role) })
	f.exec("GRANT USAGE ON SCHEMA " + f.schema + " TO " + role)
	f.exec("GRANT SELECT ON " + f.table() + " TO " + role)
	f.exec("ALTER TABLE " + f.table() + " ENABLE ROW LEVEL SECURITY")
	f.exec("CREATE POLICY slow ON " + f.table() + " USING ((SELECT true FROM pg_catalog.pg_sleep(3600)))")
	config := f.pool.Config()
	config.ConnConfig.RuntimeParams["role"] = role
	storeConfig := f.store.Config()
	var err error
	f.store, err = idemtx.New(newPool(t, config), storeConfig)
	require.NoError(t, err)
	return f
}

func TestATableTooLargeToCount(t *testing.T) {
	t.Parallel()
	f := slowed(t)
	s := f.serve(idemui.Config{Timeout: 300 * time.Millisecond})
	r := s.get("")
	assert.Equal(t, 200, r.status)
	assert.Contains(t, r.body, "The table cannot be counted within 300 ms.")
	assert.Contains(t, r.body, "did not answer in time", "of the claims")
	assert.Contains(t, r.body, "1 call in the last hour", "what is known without the table is shown")
	until(t, "there is an estimate", func() bool { // not every time: a busy machine takes longer
		return strings.Contains(s.get("").body, "PostgreSQL estimates 1 row,")
	})

	assert.Equal(t, 503, s.lookUp(key).status)
	assert.Contains(t, s.lookUp(key).body, "did not answer in time")
	assert.Equal(t, 503, s.post("scope", map[string][]string{"scope": {whose(t).LogID()}}).status)
	until(t, "what nobody waits for is cancelled", func() bool { return f.running() == 0 })
}

// running counts the statements that sleep.
func (f *fixture) running() (n int) {
	f.tb.Helper()
	err := f.aside.QueryRow(context.WithoutCancel(f.tb.Context()),
		"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%' || $1 || '%'", f.schema).Scan(&n)
	require.NoError(f.tb, err)
	return n
}

func TestATableThatIsNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("DROP TABLE " + f.table())
	r := f.serve(idemui.Config{}).get("")
	assert.Equal(t, 200, r.status)
	assert.Contains(t, r.body, "is not as it has to be")
	assert.Contains(t, r.body, "<li>")
}

// A store without a Recorder has pages all the same.
func TestWithoutARecorder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *idemtx.Config) { c.Tracer = nil })
	f.do(key, nil)
	body := f.serve(idemui.Config{}).get("").body
	assert.Contains(t, body, "<dt>Live replies</dt><dd>1<")
	assert.Contains(t, body, "the store’s Tracer is no <code>idemui.Recorder</code>")
	body = f.serve(idemui.Config{Recorder: f.recorder}).get("").body
	assert.Contains(t, body, "0 calls in the last hour")
}

func TestTheReaderChoosesToRefresh(t *testing.T) {
	t.Parallel()
	s := newFixture(t).serve(idemui.Config{})
	assert.NotContains(t, s.get("").body, `http-equiv="refresh"`)
	live := s.get("?live").body
	assert.Contains(t, live, `<meta http-equiv="refresh" content="10">`)
	assert.Contains(t, live, `<a href="./">Stop</a>`)
}

func TestTheSweeperIsHeardOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do(key, nil)
	f.expire()
	s := f.serve(idemui.Config{})
	assert.NotContains(t, s.get("").body, "This process swept")
	_, err := f.store.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	assert.Contains(t, s.get("").body, ": 1 deleted")
}
