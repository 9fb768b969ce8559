package command

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// counts is what stats --json tells.
type counts struct {
	Live, Refused, Abandoned, Expired, Retained, Bytes int64

	InFlight      int64 `json:"in_flight"`
	InTransaction int64 `json:"in_transaction"`
	Ages          []struct {
		UpTo float64 `json:"up_to_seconds"`
		Rows int64
	}
	OldestExpired time.Time `json:"oldest_expired"`
	TableBytes    int64     `json:"table_bytes"`
	IndexBytes    int64     `json:"index_bytes"`
	Sealed        map[string]int64
}

// every adds a row of each kind: answered, of three ages and one of them refused,
// claimed, abandoned, due in three ways, and retained.
func (f *fixture) every() {
	f.t.Helper()
	f.stored("answered-now", "answered-today", "expired-answer", "tombstone-row", "dead-tombstone-row")
	f.refused("refused-yesterday")
	f.age("answered-today", "2 hours")
	f.age("refused-yesterday", "23 hours 59 minutes")
	f.age("expired-answer", "100 hours")
	f.claim("claim-row", "1 hour")
	f.claim("abandoned-row", "-1 minute")
	f.claim("dead-claim", "-1 minute")
	f.age("dead-claim", "50 hours")
	f.exec(`UPDATE {table} SET response = NULL, expires_at = clock.until, retain_until = clock.until
		FROM (SELECT now() + interval '1 day' AS until) AS clock WHERE key LIKE '%tombstone%'`)
	f.age("dead-tombstone-row", "60 hours")
}

func TestCount(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{0, 4} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Partitions = partitions }))
			f.every()
			st, err := idemadmin.Count(t.Context(), f.store)
			require.NoError(t, err)
			require.EqualValues(t, 3, st.Live)
			require.EqualValues(t, 1, st.Refused)
			require.EqualValues(t, 1, st.InFlight)
			require.EqualValues(t, 1, st.Abandoned)
			require.EqualValues(t, 3, st.Expired)
			require.EqualValues(t, 1, st.Retained)
			rows := map[time.Duration]int64{}
			for _, b := range st.Lived {
				rows[b.UpTo] = b.Rows
			}
			require.EqualValues(t, 1, rows[time.Minute]+rows[10*time.Minute]) // a slow machine takes its time
			require.EqualValues(t, 1, rows[6*time.Hour])
			require.EqualValues(t, 1, rows[24*time.Hour])
			require.True(t, st.OldestExpired.Equal(ask[time.Time](f, "SELECT min(expires_at) FROM {table}")))
			require.Equal(t, ask[int64](f, `SELECT sum(pg_column_size(response)) FROM {table} WHERE response IS NOT NULL
				AND expires_at > now()`), st.Bytes)
			require.Positive(t, st.TableBytes)
			require.Positive(t, st.IndexBytes)
			require.Empty(t, st.Sealed)

			due, err := idemadmin.Due(t.Context(), f.store)
			require.NoError(t, err)
			require.Equal(t, st.Expired, due)
			n, err := f.store.DeleteExpired(t.Context(), 10)
			require.NoError(t, err)
			require.Equal(t, due, n, "what is due is what the sweeper takes")
		})
	}
}

func TestCountNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	st, err := idemadmin.Count(t.Context(), f.store)
	require.NoError(t, err)
	require.Zero(t, st.Live+st.Expired+st.InFlight+st.Abandoned+st.Retained+st.Bytes)
	require.Zero(t, st.OldestExpired)
	require.NotEmpty(t, st.Lived)
	require.NotContains(t, f.command("stats").exits(0).out, "by age")
}

func TestStats(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.every()
	c := decode[counts](f.command("stats", "--json").exits(0))
	require.Equal(t, []int64{3, 1, 1, 1, 3, 1}, []int64{c.Live, c.Refused, c.InFlight, c.Abandoned, c.Expired, c.Retained})
	require.NotZero(t, c.OldestExpired)
	require.NotNil(t, c.Sealed)
	sum := int64(0)
	for _, a := range c.Ages {
		sum += a.Rows
	}
	require.EqualValues(t, 3, sum)

	plain := f.command("stats").exits(0)
	require.Contains(t, plain.out, "3, of which refused 1")
	require.Contains(t, plain.out, "under 6 h     1\n")
	require.NotContains(t, plain.out, "█")
	require.NotContains(t, plain.out, "under 7 d", "nothing has reached it")
	chart := (&run{f: f, terminal: true}).with("--database-url", f.url, "stats").exits(0)
	require.Contains(t, chart.out, strings.Repeat("█", 40))
	require.Contains(t, chart.out, "\x1b[")

	call := f.flyDo(f.store, "key-at-work")
	require.EqualValues(t, 1, decode[counts](f.command("stats", "--json").exits(0)).InTransaction)
	require.Contains(t, f.command("stats").exits(0).out, "1 claimed, 1 in transactions")
	require.NoError(t, call.land())
	require.Zero(t, decode[counts](f.command("stats", "--json").exits(0)).InTransaction)

	f.exec("ANALYZE " + f.table()) // few rows are read by no index, which SERIALIZABLE keeps a note of among the locks
	_, serializable := f.open(func(_ *pgxpool.Config, c *idemtx.Config) { c.TxOptions.IsoLevel = pgx.Serializable })
	call = f.flyDo(serializable, "key-at-work-too")
	require.True(t, ask[bool](f, `SELECT count(*) > 0 FROM pg_locks
		WHERE mode = 'SIReadLock' AND locktype = 'relation' AND relation = $1::text::regclass`, f.table()))
	require.EqualValues(t, 1, decode[counts](f.command("stats", "--json").exits(0)).InTransaction)
	require.NoError(t, call.land())

	sweeper, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	defer sweeper.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it has done nothing
	_, err = sweeper.Exec(t.Context(), "SELECT pg_advisory_xact_lock(1), (SELECT count(*) FROM (SELECT FROM "+f.table()+" FOR UPDATE SKIP LOCKED) AS rows)")
	require.NoError(t, err)
	require.Zero(t, decode[counts](f.command("stats", "--json").exits(0)).InTransaction, "it holds a lock, and no key")
}

// sealing is no encryption, and good enough for tests.
type sealing struct{ name string }

func (s sealing) Seal(_ context.Context, plain, _ []byte) ([]byte, string, error) {
	return []byte(base64.StdEncoding.EncodeToString(plain)), s.name, nil
}

func (sealing) Open(_ context.Context, sealed []byte, _ string, _ []byte) ([]byte, error) {
	return base64.StdEncoding.DecodeString(string(sealed))
}

// Which keys are needed still is seen, and so is that a reply cannot be shown.
func TestSealed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Codec = sealing{"key id 1"} }))
	f.stored(key, "another")
	_, second := f.open(withConfig(func(c *idemtx.Config) { c.Codec = sealing{"2"} }))
	_, err := idemtx.Do(t.Context(), second, f.request("third"), answered)
	require.NoError(t, err)

	is := f.look(key, 0)
	require.True(t, is.Sealed)
	require.Equal(t, "key id 1", is.KeyID)
	require.Equal(t, map[string]int64{"key id 1": 2, "2": 1}, decode[counts](f.command("stats", "--json").exits(0)).Sealed)
	require.Contains(t, f.command("stats").exits(0).out, `2 with key "key id 1"`)

	r := f.lookup(key, "--show-reply").exits(0)
	require.Contains(t, r.err, "sealed")
	require.Contains(t, r.out, `with key "key id 1"`)
	require.NotContains(t, r.out, answer)
	require.Nil(t, decode[status](f.lookup(key, "--show-reply", "--json").exits(0)).Reply)
}
