package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// works is a handler that writes under its key and says so.
func (f *fixture) works(w http.ResponseWriter, r *http.Request) {
	if err := f.insert(r, strings.Trim(r.Header.Get("Idempotency-Key"), `"`)); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "done")
}

// TestHTTPWhichRequestsAreTheSame changes a request in one thing after it was
// answered.
func TestHTTPWhichRequestsAreTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Methods: []string{http.MethodPost, http.MethodPut}}, f.works)
	for name, test := range map[string]struct {
		change func(r *http.Request)
		same   bool
	}{
		"nothing":                  {func(*http.Request) {}, true},
		"white space and order":    {func(r *http.Request) { setBody(r, `{"b":2,"a":1}`) }, true},
		"the spelling of a number": {func(r *http.Request) { setBody(r, `{"a": 1.0, "b": 2e0}`) }, true},
		"a header":                 {func(r *http.Request) { r.Header.Set("X-Trace", "1") }, true},
		"the host":                 {func(r *http.Request) { r.Host = "other.example" }, true},
		"a parameter of the type": {func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
		}, true},
		"the body":     {func(r *http.Request) { setBody(r, `{"a": 1, "b": 3}`) }, false},
		"no body":      {func(r *http.Request) { setBody(r, "") }, false},
		"the path":     {func(r *http.Request) { r.URL.Path = "/payments" }, false},
		"the query":    {func(r *http.Request) { r.URL.RawQuery = "dry=1" }, false},
		"no query":     {func(r *http.Request) { r.URL.RawQuery = "" }, false},
		"the method":   {func(r *http.Request) { r.Method = http.MethodPut }, false},
		"the type":     {func(r *http.Request) { r.Header.Set("Content-Type", "application/merge-patch+json") }, false},
		"a plain type": {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, false},
		"no type":      {func(r *http.Request) { r.Header.Del("Content-Type") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const body = `{"a": 1, "b": 2}`
			require.Equal(t, http.StatusCreated, s.send(s.post(name, body)).status)
			r := s.post(name, body)
			test.change(r)
			got := s.send(r)
			if test.same {
				require.Equal(t, "done", got.body)
				require.True(t, got.replayed())
			} else {
				got.requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
				require.Empty(t, got.header.Get("Retry-After"))
			}
			require.Equal(t, 1, f.effects(name))
		})
	}
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(body)), int64(len(body)), nil
}

func TestHTTPJSONThatHasTwoReadingsIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.works)
	for _, body := range []string{`{"secret":`, `{"secret":1,"secret":2}`, "\"secret\xff\"", `[1e400]`, `{} {}`} {
		s.send(s.post("json", body)).requireProblem(t, http.StatusBadRequest, "body_invalid")
	}
	r := s.post("json", `{"secret":`)
	r.Header.Set("Content-Type", "text/plain")
	require.Equal(t, http.StatusCreated, s.send(r).status, "what does not claim to be JSON need not be")
	require.EqualValues(t, 1, s.runs.Load())
}

func TestHTTPInFlightIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(refusing))
	running, end := make(chan struct{}), make(chan struct{})
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-end
		f.works(w, r)
	})
	first := make(chan heard)
	go func() {
		got, err := s.try(s.post("busy", "{}"))
		if err != nil {
			got.body = err.Error()
		}
		first <- got
	}()
	<-running
	got := s.send(s.post("busy", "{}"))
	got.requireProblem(t, http.StatusConflict, "in_flight")
	require.Equal(t, "1", got.header.Get("Retry-After"))
	s.send(s.post("busy", "[]")).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	close(end)
	require.Equal(t, "done", (<-first).body)
	require.True(t, s.send(s.post("busy", "{}")).replayed())
	require.EqualValues(t, 1, s.runs.Load())
}

func TestHTTPExpiredReplyIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
	s := f.serve(idemhttp.Config{}, f.works)
	require.Equal(t, http.StatusCreated, s.send(s.post("old", "{}")).status)
	f.expire("old")
	s.send(s.post("old", "{}")).requireProblem(t, http.StatusGone, "expired")
	require.EqualValues(t, 1, s.runs.Load())
}

// TestHTTPWhatCannotBeKeptIsUndone: the client never hears of a reply that was
// not stored, and the operator hears why without what is in it.
func TestHTTPWhatCannotBeKeptIsUndone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(w http.ResponseWriter, r *http.Request)
		logged string
	}{
		"a reply over the limit": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("secret", 1000))
		}, "the reply cannot be stored"},
		"a NUL in a header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Secret", "secret\x00")
		}, "the reply cannot be stored"},
		"a statement that failed unnoticed": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = idemhttp.Tx(r.Context()).Exec(r.Context(), "SELECT secret")
		}, "misused its transaction"},
		"a transaction that was rolled back": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = idemhttp.Tx(r.Context()).Exec(r.Context(), "ROLLBACK")
		}, "misused its transaction"},
		"a deferred constraint": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "secret")
		}, "sqlstate=P0001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 1000 }))
			if name == "a deferred constraint" {
				f.failing(1, "P0001", true)
			}
			var log bytes.Buffer
			s := f.serve(idemhttp.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "undone"); err != nil {
					panic(err)
				}
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "secret"})
				test.breaks(w, r)
			})
			got := s.send(s.post("undone", `"secret"`))
			got.requireProblem(t, http.StatusInternalServerError, "internal")
			require.NotContains(t, got.header, "Set-Cookie")
			require.NotContains(t, got.header, "X-Secret")
			require.Zero(t, f.effects("undone"))
			require.Zero(t, f.rows("undone"))
			require.EqualValues(t, 1, s.runs.Load())
			require.Contains(t, log.String(), "level=ERROR")
			require.Contains(t, log.String(), test.logged)
			require.NotContains(t, log.String(), "secret")
			require.NotContains(t, log.String(), "annabel")
		})
	}
}

func TestHTTPStoredReplyOfAnotherKind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.works)
	require.Equal(t, http.StatusCreated, s.send(s.post("other", "{}")).status)
	exec(t, "UPDATE "+f.table()+` SET response = '{"secret": 1}'`)
	s.send(s.post("other", "{}")).requireProblem(t, http.StatusInternalServerError, "internal")
	require.EqualValues(t, 1, s.runs.Load(), "the work is done")
}

func TestHTTPMissingTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "DROP TABLE "+f.table())
	var log bytes.Buffer
	s := f.serve(idemhttp.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, f.works)
	got := s.send(s.post("a", "{}"))
	got.requireProblem(t, http.StatusInternalServerError, "internal")
	require.NotContains(t, got.body, "table")
	require.Contains(t, log.String(), "CreateSchema", "the operator is told the cure")
	require.Zero(t, s.runs.Load())
}

func TestHTTPDatabaseIsAway(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@"+listener.Addr().String()+"/none?sslmode=disable")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{})
	require.NoError(t, err)
	f := &fixture{t: t, store: store}
	s := f.serve(idemhttp.Config{}, f.works)
	got := s.send(s.post("a", "{}"))
	got.requireProblem(t, http.StatusServiceUnavailable, "unavailable")
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Zero(t, s.runs.Load())
}

// TestHTTPProblemIsJSON reads a problem as a client would.
func TestHTTPProblemIsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	protected := idemhttp.Middleware(f.store, idemhttp.Config{
		Scope: func(*http.Request) (scope.Scope, error) { return f.scope, nil },
	})(http.HandlerFunc(f.works))
	for _, body := range []string{"1", "2"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", "problem")
		w := httptest.NewRecorder()
		protected.ServeHTTP(w, r)
		if body == "1" {
			require.Equal(t, http.StatusCreated, w.Code)
			continue
		}
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.Equal(t, map[string]any{
			"type":   "https://pkg.go.dev/github.com/idemtx/idemtx/idemhttp#hdr-mismatch",
			"title":  "Idempotency-Key was used for another request",
			"status": 422.0,
			"detail": "This Idempotency-Key was first used for a different request. Use a new key.",
		}, got)
	}
}
