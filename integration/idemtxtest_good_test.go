package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
)

// requirePasses requires that a test is told of no failure, and that the matrix
// has left no reply behind.
func requirePasses(f *fixture, r *recorder) {
	f.t.Helper()
	require.Empty(f.t, r.failures)
	require.Zero(f.t, ask[int](f.t, "SELECT count(*) FROM "+f.table()))
}

// bazaar has what an order touches: rows that are inserted, with children; sums that
// are updated, one of them inexact; a row that is deleted.
const bazaar = `
	CREATE TABLE {schema}.orders (id bigserial PRIMARY KEY, note text, at timestamptz DEFAULT clock_timestamp(), token uuid DEFAULT gen_random_uuid());
	CREATE TABLE {schema}.items (order_id bigint REFERENCES {schema}.orders, position int, sku text);
	CREATE TABLE {schema}.accounts (name text PRIMARY KEY, balance numeric NOT NULL, share float8 NOT NULL, paid_until timestamptz NOT NULL);
	CREATE TABLE {schema}.carts (id bigserial, sku text);
	INSERT INTO {schema}.accounts VALUES ('buyer', 1000.00, 0.1, '2030-01-01'), ('seller', 0, 0.1, '2030-01-01');
	INSERT INTO {schema}.carts (sku) SELECT 'lamp' FROM generate_series(1, 100)`

// buy is a handler that does everything right, in every way that pgx has.
func (f *fixture) buy(ctx context.Context, tx pgx.Tx) (order, error) {
	var o order
	err := tx.QueryRow(ctx, f.sql("INSERT INTO {schema}.orders (note) VALUES ($1) RETURNING id"), "secret").Scan(&o.Number)
	if err != nil {
		return o, err
	}
	b := &pgx.Batch{}
	b.Queue(f.sql("UPDATE {schema}.accounts SET balance = balance - 10, share = share * 1.1, "+
		"paid_until = paid_until + interval '30 days' WHERE name = $1"), "buyer")
	b.Queue(f.sql("UPDATE {schema}.accounts SET balance = balance + 10 WHERE name = $1"), "seller")
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return o, err
	}
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return o, err
	}
	_, err = savepoint.CopyFrom(ctx, pgx.Identifier{f.schema, "items"}, []string{"order_id", "position", "sku"},
		pgx.CopyFromRows([][]any{{o.Number, 1, "lamp"}, {o.Number, 2, "bulb"}}))
	if err != nil {
		return o, err
	}
	if err := savepoint.Commit(ctx); err != nil {
		return o, err
	}
	_, err = tx.Exec(ctx, f.sql("DELETE FROM {schema}.carts WHERE id = (SELECT min(id) FROM {schema}.carts)"))
	return o, err
}

func TestCrashPassesWhatIsRight(t *testing.T) {
	t.Parallel()
	f := withTable(t, bazaar, withConfig(func(c *idemtx.Config) { c.MaxAttempts = 1 }))
	r := crash(f, f.buy)
	requirePasses(f, r)
	told := r.logs[len(r.logs)-1]
	require.Contains(t, told, f.sql("{schema}.orders: 1 row inserted, compared in note"))
	require.Contains(t, told, f.sql("{schema}.items: 2 rows inserted, compared in position, sku"))
	require.Contains(t, told, f.sql("{schema}.accounts: 2 rows updated, compared in balance, name, paid_until"))
	require.Contains(t, told, f.sql("{schema}.carts: 1 row deleted, compared in sku"))
}

func TestCrashPassesUnderEachIsolationAndMode(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]option{
		"serializable":    withConfig(func(c *idemtx.Config) { c.TxOptions.IsoLevel = pgx.Serializable }),
		"simple protocol": withExecMode(pgx.QueryExecModeSimpleProtocol),
		"refusing":        withConfig(refusing),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, change, withMaxAttempts(1))
			requirePasses(f, crash(f, f.handler("k")))
		})
	}
}

func TestCrashPassesARefusal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	requirePasses(f, crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := f.effect(ctx, tx, "k")
		return order{Note: "sold out"}, errors.Join(err, idemtx.ErrRefused)
	}))
}

// A handler that holds a table for itself cannot be watched, and is cut as others
// are.
func TestCrashPassesAHandlerThatLocksItsTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	requirePasses(f, crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		if _, err := tx.Exec(ctx, f.sql("LOCK TABLE {schema}.effects IN ACCESS EXCLUSIVE MODE")); err != nil {
			return order{}, err
		}
		return f.effect(ctx, tx, "k")
	}))
}

// witness remembers how the handler's runs have failed.
type witness struct {
	mu   sync.Mutex
	seen map[string]int
}

func (w *witness) heard(ctx context.Context, err error) {
	kind := "lost"
	var pgErr *pgconn.PgError
	switch {
	case ctx.Err() != nil: // whatever the statement has come to
		kind = "cancelled"
	case err == nil:
		kind = "nothing"
	case errors.As(err, &pgErr):
		kind = pgErr.Code
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = make(map[string]int)
	}
	w.seen[kind]++
}

// TestCrashBreaksEachStatementInEachWay counts what a handler of two statements
// meets in a store that tries once and in one that tries again.
func TestCrashBreaksEachStatementInEachWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var first, second witness
	requirePasses(f, crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := tx.Exec(ctx, "SELECT 1")
		if first.heard(ctx, err); err != nil {
			return order{}, err
		}
		o, err := f.effect(ctx, tx, "k")
		second.heard(ctx, err)
		return o, err
	}))
	for _, w := range []*witness{&first, &second} {
		// Cut before it, after it, and ended by the server, and twice each. Of the
		// server's last words, 57P01, the client may hear nothing.
		require.Equal(t, 6, w.seen["lost"]+w.seen["57P01"], w.seen)
		require.Equal(t, 1, w.seen["cancelled"], w.seen)
	}
}

// lostCommits counts the pipelines up to COMMIT to which no answer has come.
type lostCommits struct{ atomic.Int64 }

// commitKey is of a function that counts one, once: pgx tells twice of the end of
// a batch that it could not write.
type commitKey struct{}

func (l *lostCommits) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (l *lostCommits) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (l *lostCommits) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if data.Batch.QueuedQueries[data.Batch.Len()-1].SQL != "commit" {
		return ctx
	}
	return context.WithValue(ctx, commitKey{}, sync.OnceFunc(func() { l.Add(1) }))
}

func (l *lostCommits) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (l *lostCommits) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	if count, ok := ctx.Value(commitKey{}).(func()); ok && data.Err != nil {
		count()
	}
}

// COMMIT is cut before, after and on its way, its session is ended before it, and
// its caller gives up; of the three pairs it is cut before and after in one each.
func TestCrashBreaksCommitInEachWay(t *testing.T) {
	t.Parallel()
	var lost lostCommits
	f := newFixture(t, withMaxAttempts(1), withTracer(&lost))
	requirePasses(f, crash(f, f.handler("k")))
	require.EqualValues(t, 7, lost.Load())
}

// overlaps counts the calls that have waited for another and were answered by it.
type overlaps struct {
	mu sync.Mutex
	n  int
}

func (o *overlaps) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	return ctx
}

func (o *overlaps) TraceEnd(_ context.Context, data idemtx.TraceEndData) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if data.Outcome == idemtx.OutcomeReplayed && data.Waited > 0 {
		o.n++
	}
}

// Of the three pairs, the first one's COMMIT lands in two.
func TestCrashRunsTwoCopiesAtOnce(t *testing.T) {
	t.Parallel()
	var o overlaps
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxAttempts, c.Tracer = 1, &o }))
	requirePasses(f, crash(f, f.handler("k")))
	require.Equal(t, 2, o.n)
}

// A handler that finds another state when it runs again needs Reset, which may
// start the sequences anew: numbers are still free to differ.
func TestCrashResets(t *testing.T) {
	t.Parallel()
	f := withTable(t, "CREATE TABLE {schema}.users (id bigserial PRIMARY KEY, name text UNIQUE)", withMaxAttempts(1))
	signUp := func(ctx context.Context, tx pgx.Tx) (order, error) {
		var o order
		err := tx.QueryRow(ctx, f.sql("INSERT INTO {schema}.users (name) VALUES ('alice') RETURNING id")).Scan(&o.Number)
		return o, err
	}
	r := crash(f, signUp)
	require.Contains(t, r.told(), "restore that with idemtxtest.Reset")

	exec(t, f.sql("DELETE FROM {schema}.users"))
	exec(t, "DELETE FROM "+f.table())
	requirePasses(f, crash(f, signUp, idemtxtest.Reset(func(ctx context.Context) error {
		_, err := f.pool.Exec(ctx, f.sql("TRUNCATE {schema}.users RESTART IDENTITY"))
		return err
	})))
}
