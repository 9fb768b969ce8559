package command

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// forgotten is what forget --json tells.
type forgotten struct {
	Scope, Key string
	Forgotten  bool
}

func (f *fixture) forget(key string, args ...string) *run {
	f.t.Helper()
	return f.command(append([]string{"forget", "--tenant", tenant, "--principal", principal, key, "--yes"}, args...)...)
}

// Whatever is not in flight can be forgotten, and then the work is done again.
func TestForget(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*fixture){
		"answered": func(f *fixture) { f.stored(key) },
		"refused":  func(f *fixture) { f.refused(key) },
		"expired": func(f *fixture) {
			f.stored(key)
			f.age(key, "25 hours")
		},
		"dead claim": func(f *fixture) { f.claim(key, "-1 minute") },
		"tombstone": func(f *fixture) {
			f.stored(key)
			f.exec(`UPDATE {table} SET response = NULL, lease_id = NULL, expires_at = now() + interval '1 day',
				retain_until = now() + interval '1 day'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.stored("key-of-another")
			before(f)
			require.Equal(t, "forgotten\n", f.forget(key).exits(0).out)
			require.Equal(t, idemadmin.StateAbsent, f.look(key, 1).State)
			require.Equal(t, 1, f.rows(), "of the other key")

			ran := false
			_, err := idemtx.Do(t.Context(), f.store, f.request(key), func(context.Context, pgx.Tx) (string, error) {
				ran = true
				return answer, nil
			})
			require.NoError(t, err)
			require.True(t, ran)
		})
	}
}

func TestForgetNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, "nothing is stored under this key\n", f.forget(key).exits(1).out)
	require.Equal(t, forgotten{f.scope.LogID(), key[:8], false}, decode[forgotten](f.forget(key, "--json").exits(1)))
	f.stored(key)
	require.Equal(t, forgotten{f.scope.LogID(), key[:8], true}, decode[forgotten](f.forget(key, "--json").exits(0)))
}

// A key in flight is left alone, by whatever it is held, and its call ends well.
func TestForgetInFlight(t *testing.T) {
	t.Parallel()
	for name, fly := range map[string]func(*fixture) flight{
		"lock":  func(f *fixture) flight { return f.flyDo(f.store, key) },
		"claim": func(f *fixture) flight { return f.flyPool(key) },
		"lock on an expired row": func(f *fixture) flight {
			f.stored(key)
			f.age(key, "25 hours")
			return f.flyDo(f.store, key)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			call := fly(f)
			before := f.rows()
			r := f.forget(key).exits(1)
			require.Empty(t, r.out)
			require.Equal(t, "idemtx: a request with this key is in flight\n", r.err)
			_, err := idemadmin.Forget(t.Context(), f.store, f.scope, key)
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			require.Equal(t, before, f.rows())
			require.NoError(t, call.land())
			require.Equal(t, idemadmin.StateAnswered, f.look(key, 0).State)
		})
	}
}

// Forget takes no lock: a request that is refused at once when its key is in flight
// would take the operator for another request, and be told of a mismatch for ever.
func TestForgetHoldsNoLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.age(key, "25 hours")
	// The row is held, so that Forget waits for it.
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM "+f.table()+" FOR UPDATE")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := idemadmin.Forget(t.Context(), f.store, f.scope, key)
		done <- err
	}()
	require.Eventually(t, func() bool {
		return ask[bool](f, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Lock' AND query LIKE '%DELETE FROM%')`, f.schema)
	}, patience, tick)
	require.Zero(t, ask[int](f, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND a.application_name = $1`, f.schema))
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-done)
}

// What a trigger says of a row is nobody's business.
func TestForgetSaysNothingOfTheRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.exec(`CREATE FUNCTION ` + f.schema + `.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'not %', OLD USING DETAIL = OLD.key, HINT = OLD.scope;
	END $$; CREATE TRIGGER refuse BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ` + f.schema + `.refuse()`)
	require.Contains(t, f.forget(key).exits(3).err, "raised by a trigger")
	require.Equal(t, 1, f.rows())
}

// On a terminal people are asked, and nothing but a yes is one. Elsewhere they have
// to have said so.
func TestForgetAsks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	args := []string{"--database-url", f.url, "forget", "--tenant", tenant, "--principal", principal}
	for said, code := range map[string]int{"": 1, "\n": 1, "n\n": 1, "yes please\n": 1, "y\n": 0, "YES\n": 0} {
		f.stored(key)
		r := (&run{f: f, in: said, terminal: true}).with(append(args, key)...).exits(code)
		require.Contains(t, r.err, "[y/N]")
		require.Equal(t, code, f.rows(), "%q", said)
	}
	f.stored(key)
	r := (&run{f: f, in: "y\n"}).with(append(args, key)...).exits(2)
	require.Contains(t, r.err, "--yes")
	require.Equal(t, 1, f.rows())

	// The key and the answer may both be typed.
	(&run{f: f, in: key + "\ny\n", terminal: true}).with(append(args, "-")...).exits(0)
	require.Zero(t, f.rows())
}
