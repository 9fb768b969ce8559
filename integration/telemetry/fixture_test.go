package telemetry

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
	"github.com/idemtx/idemtx/scope"
)

// patience and tick are how long, and how often, a test looks for what is bound to come.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

// fixture is a store in a schema of its own with a table for effects, whose calls and
// statements are traced.
type fixture struct {
	t      *testing.T
	schema string
	pool   *pgxpool.Pool
	store  *idemtx.Store
	tracer *idemotel.Tracer
	readings
}

// option changes what a fixture is made of.
type option func(*pgxpool.Config, *idemtx.Config)

func withConfig(change func(*idemtx.Config)) option {
	return func(_ *pgxpool.Config, c *idemtx.Config) { change(c) }
}

// judged lets judge decide on what goes over the wire.
func judged(judge func(*pgwire.Trip) pgwire.Fate) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { pgwire.Inject(&p.ConnConfig.Config, judge) }
}

// untraced is a store whose calls and statements are in no metric and no span.
func untraced(p *pgxpool.Config, c *idemtx.Config) { p.ConnConfig.Tracer, c.Tracer = nil, nil }

func newFixture(t *testing.T, options ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, schema: "t_" + strings.ToLower(rand.Text()), readings: readings{
		t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter(),
	}}
	f.provider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(f.spans))
	var err error
	f.tracer, err = idemotel.New(idemotel.Config{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(f.reader)),
		TracerProvider: f.provider,
	})
	require.NoError(t, err)
	f.exec("CREATE SCHEMA " + f.schema)
	t.Cleanup(func() {
		if !t.Failed() { // a failed test keeps it, for psql
			f.exec("DROP SCHEMA " + f.schema + " CASCADE")
		}
	})
	f.pool, f.store = f.open(options...)
	f.exec(f.store.SchemaSQL())
	f.exec("CREATE TABLE " + f.schema + ".effects (id bigint GENERATED ALWAYS AS IDENTITY)")
	return f
}

// open makes another store on the same table, as another process has it.
func (f *fixture) open(options ...option) (*pgxpool.Pool, *idemtx.Store) {
	f.t.Helper()
	p, err := pgxpool.ParseConfig(server.URL)
	require.NoError(f.t, err)
	p.MaxConns = 4
	p.ConnConfig.RuntimeParams["application_name"] = f.schema
	p.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithTracerProvider(f.provider))
	config := idemtx.Config{Schema: f.schema, MaxWait: patience, Lease: time.Hour, Tracer: f.tracer}
	for _, change := range options {
		change(p, &config)
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(f.t.Context()), p)
	require.NoError(f.t, err)
	f.t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, config)
	require.NoError(f.t, err)
	return pool, store
}

// exec runs SQL on a connection of its own, which nothing traces.
func (f *fixture) exec(sql string) {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, server.URL)
	require.NoError(f.t, err)
	defer func() { _ = conn.Close(ctx) }()
	sql = strings.NewReplacer("{table}", f.schema+".idemtx_replies", "{schema}", f.schema).Replace(sql)
	_, err = conn.Exec(ctx, sql)
	require.NoError(f.t, err, sql)
}

// connected is a connection that nothing traces, until the test ends.
func (f *fixture) connected() *pgx.Conn {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, server.URL)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = conn.Close(ctx) })
	return conn
}

// blocked waits until a backend of the fixture waits for a lock.
func (f *fixture) blocked() {
	f.t.Helper()
	conn := f.connected()
	require.Eventually(f.t, func() bool {
		var waiting bool
		err := conn.QueryRow(f.t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Lock'`, f.schema).Scan(&waiting)
		return err == nil && waiting
	}, patience, tick)
}

// held has another process at work on a key until the returned function is called.
func (f *fixture) held(r idemtx.Request) (end func()) {
	f.t.Helper()
	_, store := f.open(untraced)
	running, over := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := idemtx.Do(f.t.Context(), store, r, func(ctx context.Context, _ pgx.Tx) (int, error) {
			close(running)
			select {
			case <-over:
			case <-ctx.Done(): // the test has failed
			}
			return 1, nil
		})
		ended <- err
	}()
	<-running
	return func() {
		f.t.Helper()
		close(over)
		require.NoError(f.t, <-ended)
	}
}

// age has all replies expire a moment ago.
func (f *fixture) age() {
	f.t.Helper()
	f.exec(`UPDATE {table} SET created_at = created_at - interval '3 days', expires_at = clock_timestamp() - interval '1 second'`)
}

var whose, _ = scope.New("tenant", "principal")

func request(key string) idemtx.Request {
	return idemtx.Request{Scope: whose, Operation: "POST /orders", Key: key, Payload: "lamp"}
}

// other is the request with the same key for something else.
func other(key string) idemtx.Request {
	r := request(key)
	r.Payload = "sofa"
	return r
}

// way is one of the ways in, with a handler that has nothing to say but its error.
type way struct {
	mode idemtx.Mode
	do   func(ctx context.Context, f *fixture, r idemtx.Request, fn func(context.Context) error) error
}

var ways = []way{
	{idemtx.ModeDo, func(ctx context.Context, f *fixture, r idemtx.Request, fn func(context.Context) error) error {
		_, err := idemtx.Do(ctx, f.store, r, func(ctx context.Context, tx pgx.Tx) (int, error) {
			if _, err := tx.Exec(ctx, "INSERT INTO "+f.schema+".effects DEFAULT VALUES"); err != nil {
				return 0, err
			}
			return 1, fn(ctx)
		})
		return err
	}},
	{idemtx.ModeDoTx, func(ctx context.Context, f *fixture, r idemtx.Request, fn func(context.Context) error) error {
		return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
			_, err := idemtx.DoTx(ctx, f.store, tx, r, func(ctx context.Context, tx pgx.Tx) (int, error) {
				if _, err := tx.Exec(ctx, "INSERT INTO "+f.schema+".effects DEFAULT VALUES"); err != nil {
					return 0, err
				}
				return 1, fn(ctx)
			})
			return err
		})
	}},
	{idemtx.ModeDoPool, func(ctx context.Context, f *fixture, r idemtx.Request, fn func(context.Context) error) error {
		_, err := idemtx.DoPool(ctx, f.store, r, func(ctx context.Context) (int, error) {
			if _, err := f.pool.Exec(ctx, "INSERT INTO "+f.schema+".effects DEFAULT VALUES"); err != nil {
				return 0, err
			}
			return 1, fn(ctx)
		})
		return err
	}},
	// Its work is SQL; fn tells whether that is to fail.
	{idemtx.ModeDoBatch, func(ctx context.Context, f *fixture, r idemtx.Request, fn func(context.Context) error) error {
		work := &pgx.Batch{}
		if fn(ctx) != nil {
			work.Queue("SELECT 1 / 0")
		}
		work.Queue("INSERT INTO " + f.schema + ".effects DEFAULT VALUES RETURNING id")
		_, err := idemtx.DoBatch[struct{ ID int }](ctx, f.store, r, work)
		return err
	}},
}

func works(context.Context) error { return nil }
