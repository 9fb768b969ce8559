package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
)

// What is wrong with the whole of a server: it may lose data, it does not vacuum, a
// transaction that somebody has prepared holds a key, or it is a standby.
func TestDoctorFindsTheServer(t *testing.T) {
	t.Parallel()
	node := pgnode.New(t, "fsync = off", "full_page_writes = off", "autovacuum = off", "max_prepared_transactions = 2",
		"synchronous_commit = local", "synchronous_standby_names = ''")
	f := newOn(t, node.URL(), withConfig(func(c *idemtx.Config) { c.Schema = "public" }))
	f.schema = "public"
	require.NoError(t, f.store.CreateSchema(t.Context()))
	told := func() string {
		return (&run{f: f}).with("--database-url", f.under(timely), "doctor").out
	}
	out := told()
	require.Contains(t, out, "bad   settings  fsync is off")
	require.Contains(t, out, "bad   settings  full_page_writes is off")
	require.Contains(t, out, "warn  vacuum    autovacuum is off for public.idemtx_replies")
	require.NotContains(t, out, "synchronous_commit")

	at, err := f.store.Locate(f.scope, key)
	require.NoError(t, err)
	conn, err := f.pool.Acquire(t.Context())
	require.NoError(t, err)
	for _, sql := range []string{
		"BEGIN", "SELECT FROM public.idemtx_replies", "PREPARE TRANSACTION 'another''s'",
	} {
		if strings.HasPrefix(sql, "SELECT") {
			_, err = conn.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", at.Lock)
			require.NoError(t, err)
		}
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	conn.Release()

	is := f.look(key, 0)
	require.Equal(t, idemadmin.StateInFlight, is.State)
	require.Equal(t, "another's", is.Prepared)
	require.Zero(t, is.Pid)
	require.NotZero(t, is.Since)
	require.Contains(t, f.lookup(key).exits(0).out, `the prepared transaction "another's"`)
	_, err = idemadmin.Forget(t.Context(), f.store, f.scope, key)
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	require.Eventually(t, func() bool {
		return contains(told(), "the prepared transaction 'another''s' has held a key", "ROLLBACK PREPARED 'another''s'")
	}, patience, 50*tick)
	f.exec("ROLLBACK PREPARED 'another''s'")
	require.Equal(t, idemadmin.StateAbsent, f.look(key, 1).State)
}

func TestDoctorFindsAStandby(t *testing.T) {
	t.Parallel()
	node := pgnode.New(t)
	f := newOn(t, node.URL(), withConfig(func(c *idemtx.Config) { c.Schema = "public" }))
	f.schema = "public"
	require.NoError(t, f.store.CreateSchema(t.Context()))
	f.url = node.Standby("one").URL()
	require.Eventually(t, func() bool {
		r := (&run{f: f}).with("--database-url", f.under(timely), "doctor")
		return contains(r.out, "bad   server    it is a standby", "target_session_attrs=read-write", "ok    table")
	}, patience, 50*tick)
	f.url = node.URL()
	node.Synchronous("*")
	out := (&run{f: f}).with("--database-url", f.under(timely, "synchronous_commit=local"), "doctor").exits(1).out
	require.Contains(t, out, "warn  settings  synchronous_commit is local")
}
