package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// sweeper: deletes the expired row, and has not committed
// request: does its work, and waits where it takes the row's place
// sweeper: commits
// request: is done, once
//
// This is all that a sweep keeps a request from: the end of the batch with its own row.
func TestARequestWaitsForTheBatchWithItsOwnRow(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for _, key := range []string{"k", "beside"} {
				_, err := m.do(t.Context(), f, f.request(key), effect(f, "before"))
				require.NoError(t, err)
			}
			f.expire("k")
			exec(t, `CREATE FUNCTION `+f.schema+`.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_SCHEMA));
					RETURN NULL;
				END $$;
				CREATE TRIGGER gate AFTER DELETE ON `+f.table()+` FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.pass()`)
			gate, err := superuser.Begin(t.Context())
			require.NoError(t, err)
			defer gate.Rollback(t.Context()) //nolint:errcheck // of a test that has failed
			_, err = gate.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext($1))", f.schema)
			require.NoError(t, err)

			swept := make(chan error, 1)
			go func() {
				n, err := f.store.DeleteExpired(t.Context(), 100)
				if err == nil && n != 1 {
					t.Errorf("%d rows were swept", n)
				}
				swept <- err
			}()
			f.blocked(1)
			answered := make(chan error, 1)
			go func() {
				_, err := m.do(t.Context(), f, f.request("k"), effect(f, "after"))
				answered <- err
			}()
			require.Eventually(t, func() bool {
				return ask[bool](t, `SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
					WHERE l.locktype = 'transactionid' AND NOT l.granted AND a.application_name = $1`, f.schema)
			}, patience, tick)
			_, err = m.do(t.Context(), f, f.request("beside"), mustNotRun(t))
			require.NoError(t, err, "others do not wait")

			require.NoError(t, gate.Rollback(t.Context()))
			require.NoError(t, <-swept)
			require.NoError(t, <-answered)
			require.Equal(t, 1, f.effects("after"))
			require.Equal(t, 1, f.rows("k"))
		})
	}
}
