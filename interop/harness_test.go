package interop

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/devpg"
	"github.com/idemtx/idemtx/scope"
)

// server is the one PostgreSQL that all tests share; each has a schema of its own.
var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// fixture is a store in a schema of its own, with a table for effects.
type fixture struct {
	t      *testing.T
	schema string
	store  *idemtx.Store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, schema: "t_" + strings.ToLower(rand.Text())}
	f.exec("CREATE SCHEMA " + f.schema)
	t.Cleanup(func() { f.exec("DROP SCHEMA " + f.schema + " CASCADE") })
	f.exec("CREATE TABLE " + f.schema + ".effects (key text NOT NULL)")
	config, err := pgxpool.ParseConfig(server.URL)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = ""
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	f.store, err = idemtx.New(pool, idemtx.Config{Schema: f.schema, MaxWait: time.Minute})
	require.NoError(t, err)
	require.NoError(t, f.store.CreateSchema(t.Context()))
	return f
}

// protection has one scope for all.
func (f *fixture) protection(policy idemhttp.Policy) *idemhttp.Protection {
	f.t.Helper()
	owner, err := scope.New("tenant", "principal")
	require.NoError(f.t, err)
	return idemhttp.New(f.store, idemhttp.Config{
		Scope:  func(*http.Request) (scope.Scope, error) { return owner, nil },
		Policy: policy,
	})
}

// failing makes the first write of effects a serialization failure. A sequence
// counts them, which no rollback undoes.
func (f *fixture) failing() {
	f.t.Helper()
	f.exec("CREATE SEQUENCE " + f.schema + ".failures")
	f.exec(fmt.Sprintf(`CREATE FUNCTION %[1]s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('%[1]s.failures') = 1 THEN RAISE EXCEPTION 'undone' USING ERRCODE = '40001'; END IF;
		RETURN NEW;
	END $$`, f.schema))
	f.exec("CREATE TRIGGER fails BEFORE INSERT ON " + f.schema + ".effects FOR EACH ROW EXECUTE FUNCTION " + f.schema + ".fail()")
}

// effect does the work of a handler, in the transaction of its context.
func (f *fixture) effect(ctx context.Context, key string) error {
	_, err := idemhttp.Tx(ctx).Exec(ctx, "INSERT INTO "+f.schema+".effects (key) VALUES ($1)", key)
	return err
}

// effects counts what was committed.
func (f *fixture) effects() int { f.t.Helper(); return f.count("effects") }

// replies counts what the store keeps.
func (f *fixture) replies() int { f.t.Helper(); return f.count("idemtx_replies") }

func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	f.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM "+f.schema+"."+table).Scan(&n)
	})
	return n
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	f.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// connected has a connection of its own, in a cleanup as well.
func (f *fixture) connected(do func(context.Context, *pgx.Conn) error) {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, server.URL)
	require.NoError(f.t, err)
	defer conn.Close(ctx)
	require.NoError(f.t, do(ctx, conn))
}

// listen serves h until the test ends, and returns its URL.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports panics, which are meant here
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// heard is what a client got.
type heard struct {
	status int
	header http.Header
	body   string
}

func (h heard) replayed() bool { return h.header.Get("Idempotency-Replayed") == "true" }

func send(t *testing.T, r *http.Request) heard {
	t.Helper()
	h, err := try(r)
	require.NoError(t, err)
	return h
}

func try(r *http.Request) (heard, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return heard{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return heard{response.StatusCode, response.Header, string(body)}, err
}

// request is one to the route that the routers here have; without a key if that
// is empty.
func request(t *testing.T, method, url, key, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url+"/shop/orders/17?dry=no", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

func post(t *testing.T, url, key, body string) *http.Request {
	t.Helper()
	return request(t, http.MethodPost, url, key, body)
}
