package crash

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// patience is how long anything here may take. It is never reached but when
// something is broken.
const patience = time.Minute

// host is a PostgreSQL, or a primary and its standby, with rows of the matrix.
type host struct {
	url     string
	schema  string        // of all rows but those that lock a table
	admin   *pgxpool.Pool // the test's own
	another *pgxpool.Pool // of a process that goes on living
	locks   locks
}

func newHost(t *testing.T, url string) *host {
	t.Helper()
	admin := poolConfig(url, "admin")
	admin.MaxConns = 20 // each table that is locked has one
	h := &host{url: url, admin: newPool(t, admin), another: newPool(t, poolConfig(url, "another"))}
	h.locks.pool = h.admin
	t.Cleanup(h.locks.close)
	h.schema = h.furnish(t)
	return h
}

func newPool(t *testing.T, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// poolConfig is that of a program which never hands out a connection that is
// dead already: what dies here is to die at its moment, and not to be found dead.
func poolConfig(url, name string) *pgxpool.Config {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		panic("the URL of a server that the test has started: " + err.Error())
	}
	config.ConnConfig.RuntimeParams["search_path"] = ""
	config.ConnConfig.RuntimeParams["application_name"] = name
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
	return config
}

// storeConfig has a patience that no row comes to the end of, where something
// waits for what the test holds.
func storeConfig(schema string, w way) idemtx.Config {
	config := idemtx.Config{Schema: schema, MaxWait: 10 * patience, Lease: time.Hour} // which is renewed after a quarter
	if w.lease {
		config.Lease = time.Second // the shortest
	}
	return config
}

const replies = "idemtx_replies"

// furnish makes a schema whose tables have gates, at which what is done for a key
// can be held: a statement, and the COMMIT after it.
func (h *host) furnish(t *testing.T) (schema string) {
	t.Helper()
	schema = "t_" + strings.ToLower(rand.Text())
	store, err := idemtx.New(h.admin, storeConfig(schema, way{}))
	require.NoError(t, err)
	sql := fmt.Sprintf(`CREATE SCHEMA %[1]s;
		CREATE TABLE %[1]s.effects (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, run text NOT NULL);
		CREATE FUNCTION %[1]s.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(hashtext(coalesce(NEW.key, OLD.key)), hashtext(TG_NAME));
			RETURN coalesce(NEW, OLD);
		END $$;`, schema) + store.SchemaSQL()
	for _, gate := range []struct{ name, table, event string }{
		{effecting, "effects", "INSERT"}, {writing, replies, "INSERT"}, {updating, replies, "UPDATE"}, {deleting, replies, "DELETE"},
	} {
		sql += fmt.Sprintf(`
			CREATE TRIGGER %[2]s BEFORE %[4]s ON %[1]s.%[3]s
			FOR EACH ROW EXECUTE FUNCTION %[1]s.gate();
			CREATE CONSTRAINT TRIGGER %[2]s_commit AFTER %[4]s ON %[1]s.%[3]s
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %[1]s.gate();`,
			schema, gate.name, gate.table, gate.event)
	}
	_, err = h.admin.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	return schema
}

// waiting is the backends of a call that wait.
const waiting = "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = $1 AND NOT granted"

// held waits until a backend of the call waits at the gate, and returns it.
func (x *trial) held(t *testing.T) (backend uint32) {
	t.Helper()
	until(t, x.name(), func() bool {
		backend = uint32(ask[int64](t, x.host, "SELECT coalesce(min(pid), 0) "+waiting, x.key))
		return backend != 0
	})
	return backend
}

// quiet waits until no backend is at anything that was sent by the call.
func (x *trial) quiet(t *testing.T) {
	t.Helper()
	until(t, x.name(), func() bool {
		return ask[bool](t, x.host, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = $1 AND (state IS DISTINCT FROM 'idle' OR $2))`, x.key, x.death == process)
	})
}

func (h *host) terminate(t *testing.T, backend uint32) {
	t.Helper()
	require.True(t, ask[bool](t, h, "SELECT pg_terminate_backend($1::int, $2)", int64(backend), patience.Milliseconds()))
}

// until waits for what comes true.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	for pause := shortest; !done(); pause = longer(pause) {
		require.Less(t, time.Since(began), patience, "in vain: %s", what)
		<-time.After(pause)
	}
}

// Between two questions are longer and longer pauses: many rows ask at a time, a
// server that has better things to do.
const shortest = time.Millisecond

func longer(pause time.Duration) time.Duration { return min(2*pause, 32*time.Millisecond) }

// ask returns the one value of a query.
func ask[T any](t *testing.T, h *host, sql string, args ...any) T {
	t.Helper()
	var value T
	require.NoError(t, h.admin.QueryRow(t.Context(), sql, args...).Scan(&value), sql)
	return value
}

// state is what there is of the trial's key.
func (x *trial) state(t *testing.T) state {
	t.Helper()
	return state{
		effects: ask[int](t, x.host, "SELECT count(*) FROM "+x.schema+".effects WHERE key = $1", x.key),
		kept: kept(ask[string](t, x.host, `SELECT CASE
			WHEN max(key) IS NULL THEN '' WHEN max(lease_until) IS NOT NULL THEN 'a claim'
			WHEN max(expires_at) <= clock_timestamp() THEN 'an expired reply' ELSE 'the reply'
			END FROM `+x.schema+"."+replies+" WHERE key = $1", x.key)),
	}
}

// lease lets the lease of the trial's claim end at a time from now.
func (x *trial) lease(t *testing.T, interval string) {
	t.Helper()
	_, err := x.host.admin.Exec(t.Context(), "UPDATE "+x.schema+"."+replies+
		" SET lease_until = clock_timestamp() + $2::interval WHERE key = $1", x.key, interval)
	require.NoError(t, err)
}

// expire has the key be one that was used, long ago.
func (x *trial) expire(t *testing.T) {
	t.Helper()
	c := x.retrier(t)
	r, err := c.request(0)
	require.NoError(t, err)
	f, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	_, err = c.store.Put(t.Context(), r.Scope, r.Key, idemtx.Entry{Fingerprint: f, Response: []byte(`{}`)})
	require.NoError(t, err)
	_, err = x.host.admin.Exec(t.Context(), "UPDATE "+x.schema+"."+replies+
		" SET created_at = created_at - interval '1 year', expires_at = created_at WHERE key = $1", x.key)
	require.NoError(t, err)
}

// did tells whether a reply is that of work which is done.
func (x *trial) did(t *testing.T, o order) bool {
	t.Helper()
	return ask[bool](t, x.host, "SELECT EXISTS (SELECT FROM "+x.schema+".effects WHERE key = $1 AND id = $2 AND run = $3)",
		x.key, o.Number, o.Run)
}

// terminateAll ends all backends of the call's pool, which has no call any more.
func (x *trial) terminateAll(t *testing.T) {
	t.Helper()
	require.NotZero(t, ask[int](t, x.host, `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, $2))
		FROM pg_stat_activity WHERE application_name = $1`, x.key, patience.Milliseconds()))
}
