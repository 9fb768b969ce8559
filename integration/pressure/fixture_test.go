package pressure

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/wait"
	"github.com/idemtx/idemtx/scope"
)

// patience and tick are how long, and how often, a test looks for what is bound
// to come.
const (
	patience = time.Minute
	tick     = 2 * time.Millisecond
)

var until = wait.Until

// receive waits for a channel.
func receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(patience):
		require.FailNow(tb, "it does not come true that "+what)
		panic("unreachable")
	}
}

// await is for handlers. It waits for a channel, or for the end of the test, which
// has failed then.
func await(tb testing.TB, c <-chan struct{}) {
	tb.Helper()
	select {
	case <-c:
	case <-tb.Context().Done():
	}
}

// database is a schema with a store's table and one for effects, and a connection
// that looks at them and holds gates.
type database struct {
	tb     testing.TB
	schema string
	*watch
}

type watch struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

// A COMMIT that stores a reply waits at the gate of its key.
const gates = `
CREATE TABLE {schema}.effects (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL);
CREATE FUNCTION {schema}.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM pg_advisory_xact_lock_shared(hashtextextended(NEW.key, 7));
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON {schema}.idemtx_replies
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.response IS NOT NULL) EXECUTE FUNCTION {schema}.pass()`

// passGate is what a handler waits with at the gate of a key.
const passGate = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 7))"

func newDatabase(tb testing.TB) *database {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	conn, err := pgx.Connect(ctx, server.URL)
	require.NoError(tb, err)
	d := &database{tb: tb, schema: "t_" + strings.ToLower(rand.Text()), watch: &watch{conn: conn}}
	tb.Cleanup(func() {
		if !tb.Failed() { // a failed test keeps it, for psql
			d.exec("DROP SCHEMA " + d.schema + " CASCADE")
		}
		_ = conn.Close(ctx)
	})
	pool, err := pgxpool.New(ctx, server.URL)
	require.NoError(tb, err)
	defer pool.Close()
	store, err := idemtx.New(pool, idemtx.Config{Schema: d.schema})
	require.NoError(tb, err)
	require.NoError(tb, store.CreateSchema(ctx))
	d.exec(strings.ReplaceAll(gates, "{schema}", d.schema))
	return d
}

// of is the database for a test within the one that has made it.
func (d *database) of(tb testing.TB) *database {
	tb.Helper()
	return &database{tb, d.schema, d.watch}
}

func (d *database) exec(sql string, args ...any) {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.conn.Exec(context.WithoutCancel(d.tb.Context()), sql, args...)
	require.NoError(d.tb, err, sql)
}

// ask returns the one value of a query.
func ask[T any](d *database, sql string, args ...any) T {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var value T
	require.NoError(d.tb, d.conn.QueryRow(context.WithoutCancel(d.tb.Context()), sql, args...).Scan(&value), sql)
	return value
}

// shut closes the gate of a key until open.
func (d *database) shut(key string) { d.exec("SELECT pg_advisory_lock(hashtextextended($1, 7))", key) }

func (d *database) open(key string) {
	d.exec("SELECT pg_advisory_unlock(hashtextextended($1, 7))", key)
}

func (d *database) effects(key string) int {
	return ask[int](d, "SELECT count(*) FROM "+d.schema+".effects WHERE key = $1", key)
}

func (d *database) rows(key string) int {
	return ask[int](d, "SELECT count(*) FROM "+d.schema+".idemtx_replies WHERE key = $1", key)
}

// waiting are the backends of an application that wait for a lock.
func (d *database) waiting(application string) []int {
	return ask[[]int](d, `SELECT coalesce(array_agg(DISTINCT pid), '{}') FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE NOT granted AND application_name = $1`, application)
}

// blocked waits until n backends of an application wait for a lock.
func (d *database) blocked(application string, n int) {
	d.tb.Helper()
	until(d.tb, "backends wait for a lock", func() bool { return len(d.waiting(application)) == n })
}

// left counts what an application has left in PostgreSQL: transactions that have
// not ended, and advisory locks.
func (d *database) left(application string) int {
	return ask[int](d, `SELECT count(*) FROM pg_stat_activity a
		LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory'
		WHERE application_name = $1 AND (xact_start IS NOT NULL OR l.pid IS NOT NULL)`, application)
}

var whose, _ = scope.New("tenant", "principal")

func request(key string) idemtx.Request {
	return idemtx.Request{Scope: whose, Operation: "POST /orders", Key: key, Payload: map[string]any{"sku": "lamp"}}
}

// order is the reply of the handlers in these tests, and its number the id of the
// row that is their effect.
type order struct {
	Number int64 `json:"number"`
}

// querier is a transaction or a pool.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// effect does the work of an order.
func effect(ctx context.Context, db querier, schema, key string) (o order, err error) {
	err = db.QueryRow(ctx, "INSERT INTO "+schema+".effects (key) VALUES ($1) RETURNING id AS number", key).Scan(&o.Number)
	return o, err
}
