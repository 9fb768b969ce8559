package page

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
	"github.com/idemtx/idemtx/integration/internal/wait"
	"github.com/idemtx/idemtx/integration/internal/written"
	"github.com/idemtx/idemtx/scope"
)

var until = wait.Until

// What no page may tell. Of the key, the first eight characters may be seen.
const (
	tenant    = "tenant-Pemberton"
	principal = "principal-Okonkwo"
	key       = "3f9c2d71-key-Wolverhampton"
	replied   = "reply-Castellane"
)

func whose(tb testing.TB) scope.Scope {
	tb.Helper()
	sc, err := scope.New(tenant, principal)
	require.NoError(tb, err)
	return sc
}

// fixture is a store with a table of its own, and what has been logged.
type fixture struct {
	tb       testing.TB
	schema   string
	pool     *pgxpool.Pool // the store's
	aside    *pgxpool.Pool // for what the test does beside it
	store    *idemtx.Store
	recorder *idemui.Recorder
	log      *written.Text
}

func newFixture(tb testing.TB, configure ...func(*idemtx.Config)) *fixture {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	config, err := pgxpool.ParseConfig(server.URL)
	require.NoError(tb, err)
	config.ConnConfig.RuntimeParams["search_path"] = "" // a statement that names no schema fails
	pool, aside := newPool(tb, config), newPool(tb, config)
	f := &fixture{
		tb: tb, pool: pool, aside: aside, recorder: &idemui.Recorder{}, log: &written.Text{},
		schema: "t_" + strings.ToLower(rand.Text()),
	}
	storeConfig := idemtx.Config{
		Schema: f.schema, Tracer: f.recorder, Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	for _, c := range configure {
		c(&storeConfig)
	}
	f.store, err = idemtx.New(pool, storeConfig)
	require.NoError(tb, err)
	f.exec("CREATE SCHEMA " + f.schema)
	tb.Cleanup(func() {
		if !tb.Failed() { // a failed test keeps it, for psql
			f.exec("DROP SCHEMA " + f.schema + " CASCADE")
		}
	})
	require.NoError(tb, f.store.CreateSchema(ctx))
	return f
}

// with is the same table in a store that is configured otherwise.
func (f *fixture) with(config idemtx.Config) *fixture {
	f.tb.Helper()
	other := *f
	var err error
	other.store, err = idemtx.New(f.store.Pool(), config)
	require.NoError(f.tb, err)
	return &other
}

func newPool(tb testing.TB, config *pgxpool.Config) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(tb.Context()), config)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

func (f *fixture) exec(sql string, args ...any) {
	f.tb.Helper()
	_, err := f.aside.Exec(context.WithoutCancel(f.tb.Context()), sql, args...)
	require.NoError(f.tb, err, sql)
}

func (f *fixture) table() string { return f.schema + ".idemtx_replies" }

func (f *fixture) request(key string) idemtx.Request {
	return idemtx.Request{Scope: whose(f.tb), Operation: "POST /orders", Key: key, Payload: "lamp"}
}

// do answers a key, or replays it.
func (f *fixture) do(key string, result error) {
	f.tb.Helper()
	_, err := idemtx.Do(f.tb.Context(), f.store, f.request(key),
		func(context.Context, pgx.Tx) (string, error) { return replied, result })
	require.NoError(f.tb, err)
}

// hold begins a call that does not end before the test does.
func (f *fixture) hold(key string, mode idemtx.Mode) {
	f.tb.Helper()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ctx := context.WithoutCancel(f.tb.Context())
	handle := func() (string, error) {
		close(begun)
		<-end
		return replied, nil
	}
	go func() {
		defer close(ended)
		if mode == idemtx.ModeDoPool {
			_, _ = idemtx.DoPool(ctx, f.store, f.request(key), func(context.Context) (string, error) { return handle() })
			return
		}
		_, _ = idemtx.Do(ctx, f.store, f.request(key), func(context.Context, pgx.Tx) (string, error) { return handle() })
	}()
	f.tb.Cleanup(func() { close(end); <-ended })
	until(f.tb, "the handler runs", func() bool {
		select {
		case <-begun:
			return true
		default:
			return false
		}
	})
}
