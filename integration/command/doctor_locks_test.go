package command

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// examine returns the findings about a subject that are not ok.
func (f *fixture) examine(subject string) (found []idemadmin.Finding) {
	f.t.Helper()
	all, err := idemadmin.Examine(f.t.Context(), f.store)
	require.NoError(f.t, err)
	for _, one := range all {
		if one.Subject == subject && one.Level != idemadmin.LevelOK {
			found = append(found, one)
		}
	}
	return found
}

// In the simple protocol a request waits in one text with what it sends before. Another
// program's wait is none for a key.
func TestDoctorKnowsAWaitByItsText(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	_, simple := f.open(func(c *pgxpool.Config, _ *idemtx.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	})
	call := f.flyDo(f.store, key)
	waits := make(chan error, 1)
	second := f.detached(func() { waits <- f.replay(simple, key) })
	require.Eventually(t, func() bool { return len(f.examine("waits")) == 1 }, patience, 50*tick)
	require.NoError(t, call.land())
	second()
	require.NoError(t, <-waits)

	holder, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_xact_lock(7)")
	require.NoError(t, err)
	other := make(chan error, 1)
	third := f.detached(func() {
		_, err := f.pool.Exec(context.Background(), "SELECT pg_advisory_xact_lock(7)")
		other <- err
	})
	require.Eventually(t, func() bool {
		return ask[bool](f, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND waitstart < clock_timestamp() - interval '5 seconds')`)
	}, patience, 50*tick)
	require.Empty(t, f.examine("waits"))
	require.NoError(t, holder.Rollback(t.Context()))
	third()
	require.NoError(t, <-other)
}

// A request that has waited for long is found with who makes it wait, and so is the
// handler that does nothing in its transaction.
func TestDoctorFindsAWaitAndItsHolder(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	_, other := f.open()
	call := f.flyDo(f.store, key)
	waits := make(chan error, 1)
	second := f.detached(func() { waits <- f.replay(other, key) })
	var waiter int32
	require.Eventually(t, func() bool {
		waiter = ask[int32](f, `SELECT coalesce(min(pid), 0) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event = 'advisory'`, f.schema)
		return waiter != 0
	}, patience, tick)

	var wait, holder bool
	require.Eventually(t, func() bool {
		for _, one := range f.examine("waits") {
			wait = wait || contains(one.Text, fmt.Sprintf("backend %d has waited", waiter), fmt.Sprintf("backend %d holds", call.pid)) &&
				contains(one.Advice, "pg_terminate_backend")
		}
		for _, one := range f.examine("holders") {
			holder = holder || contains(one.Text, fmt.Sprintf("backend %d holds", call.pid), "idle") &&
				contains(one.Advice, fmt.Sprintf("pg_terminate_backend(%d)", call.pid))
		}
		return wait && holder
	}, patience, 50*tick)

	// Of another table, there is no holder.
	beside := newOn(t, f.url)
	require.NoError(t, beside.store.CreateSchema(t.Context()))
	require.Empty(t, beside.examine("holders"))
	require.NoError(t, call.land())
	second()
	require.NoError(t, <-waits)
	require.Empty(t, f.examine("holders"))
}

// PutTx takes no lock but that of its row.
func TestDoctorFindsAWaitForARow(t *testing.T) {
	t.Parallel()
	f := newApart(t)
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // of a test that has failed
	fingerprint, err := idemtx.FingerprintOf(f.request(key).Operation, f.request(key).Payload)
	require.NoError(t, err)
	_, err = f.store.PutTx(t.Context(), tx, f.scope, key, idemtx.Entry{Fingerprint: fingerprint, Response: []byte(`"` + answer + `"`)})
	require.NoError(t, err)
	holder := int32(tx.Conn().PgConn().PID())
	waits := make(chan error, 1)
	second := f.detached(func() { waits <- f.replay(f.store, key) })

	var wait, idle bool
	require.Eventually(t, func() bool {
		for _, one := range f.examine("waits") {
			wait = wait || contains(one.Text, fmt.Sprintf("a key that backend %d holds", holder))
		}
		for _, one := range f.examine("holders") {
			idle = idle || contains(one.Text, fmt.Sprintf("backend %d holds a key", holder), "idle")
		}
		return wait && idle
	}, patience, 50*tick)
	require.NoError(t, tx.Commit(t.Context()))
	second()
	require.NoError(t, <-waits)
	require.Empty(t, f.examine("waits"))
	require.Empty(t, f.examine("holders"))
}
