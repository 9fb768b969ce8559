package idemhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// unreachable is a store whose database is away, and how often it was dialed:
// what is answered without a dial is answered before the database hears of it.
func unreachable(t *testing.T) (*idemtx.Store, *atomic.Int64) {
	t.Helper()
	config, err := pgxpool.ParseConfig("postgres://nobody@database.invalid/none?sslmode=disable")
	require.NoError(t, err)
	dials := new(atomic.Int64)
	config.ConnConfig.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
	config.ConnConfig.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, syscall.ECONNREFUSED
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{})
	require.NoError(t, err)
	return store, dials
}

func someone(*http.Request) (scope.Scope, error) { return scope.New("", "someone") }

// ran answers 200 and counts.
type ran struct{ times int }

func (h *ran) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.times++
	body, err := io.ReadAll(r.Body)
	if err != nil || idemhttp.Tx(r.Context()) != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}

func request(method, key, body string) *http.Request {
	r := httptest.NewRequest(method, "/orders", strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

// TestWhatIsAnsweredBeforeTheDatabase gives each refusal a chance to reach the
// database, or the handler, and sees that it does not.
func TestWhatIsAnsweredBeforeTheDatabase(t *testing.T) {
	t.Parallel()
	nobody := func(*http.Request) (scope.Scope, error) { return scope.Scope{}, nil }
	unknown := func(*http.Request) (scope.Scope, error) { return scope.Scope{}, errors.New("secret") }
	for name, test := range map[string]struct {
		config  idemhttp.Config
		request func() *http.Request
		status  int
		problem string
	}{
		"no key": {
			request: func() *http.Request { return request(http.MethodPost, "", "") },
			status:  http.StatusBadRequest, problem: "key_missing",
		},
		"no key to PATCH": {
			request: func() *http.Request { return request(http.MethodPatch, "", "") },
			status:  http.StatusBadRequest, problem: "key_missing",
		},
		"an empty key": {
			config: idemhttp.Config{Optional: true},
			request: func() *http.Request {
				r := request(http.MethodPost, "", "")
				r.Header.Set("Idempotency-Key", "")
				return r
			},
			status: http.StatusBadRequest, problem: "key_invalid",
		},
		"two keys": {
			request: func() *http.Request {
				r := request(http.MethodPost, "a", "")
				r.Header.Add("Idempotency-Key", "b")
				return r
			},
			status: http.StatusBadRequest, problem: "key_invalid",
		},
		"a list of keys": {
			request: func() *http.Request { return request(http.MethodPost, `"a", "b"`, "") },
			status:  http.StatusBadRequest, problem: "key_invalid",
		},
		"a parameter": {
			request: func() *http.Request { return request(http.MethodPost, `"a";b`, "") },
			status:  http.StatusBadRequest, problem: "key_invalid",
		},
		"a key of another form": {
			config:  idemhttp.Config{KeyFormat: regexp.MustCompile("[0-9a-f]{32}")},
			request: func() *http.Request { return request(http.MethodPost, "secret", "") },
			status:  http.StatusBadRequest, problem: "key_invalid",
		},
		"a scope that fails": {
			config:  idemhttp.Config{Scope: unknown},
			request: func() *http.Request { return request(http.MethodPost, "secret", "") },
			status:  http.StatusUnauthorized, problem: "unauthenticated",
		},
		"the zero scope": {
			config:  idemhttp.Config{Scope: nobody},
			request: func() *http.Request { return request(http.MethodPost, "secret", "") },
			status:  http.StatusUnauthorized, problem: "unauthenticated",
		},
		"a body over the limit": {
			config:  idemhttp.Config{MaxBodyBytes: 5},
			request: func() *http.Request { return request(http.MethodPost, "a", "secret") },
			status:  http.StatusRequestEntityTooLarge, problem: "body_too_large",
		},
		"a body over 1 MiB": {
			request: func() *http.Request { return request(http.MethodPost, "a", strings.Repeat("x", 1<<20+1)) },
			status:  http.StatusRequestEntityTooLarge, problem: "body_too_large",
		},
		"a body over the limit, of unknown length": {
			config: idemhttp.Config{MaxBodyBytes: 5},
			request: func() *http.Request {
				r := request(http.MethodPost, "a", "secret")
				r.ContentLength = -1
				return r
			},
			status: http.StatusRequestEntityTooLarge, problem: "body_too_large",
		},
		"half a body": {
			request: func() *http.Request {
				r := request(http.MethodPost, "a", "")
				r.Body = io.NopCloser(iotest.ErrReader(errors.New("secret")))
				return r
			},
			status: http.StatusBadRequest, problem: "body_incomplete",
		},
		"a body that was read before": {
			request: func() *http.Request {
				r := request(http.MethodPost, "a", "secret")
				_, _ = io.Copy(io.Discard, r.Body)
				return r
			},
			status: http.StatusInternalServerError, problem: "internal",
		},
		"a body that is not JSON": {
			request: func() *http.Request {
				r := request(http.MethodPost, "a", `{"secret":`)
				r.Header.Set("Content-Type", "application/json")
				return r
			},
			status: http.StatusBadRequest, problem: "body_invalid",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, dials := unreachable(t)
			handler := new(ran)
			test.config.ProblemBase = "https://api.example.com/problems/"
			if test.config.Scope == nil {
				test.config.Scope = someone
			}
			w := httptest.NewRecorder()
			idemhttp.Middleware(store, test.config)(handler).ServeHTTP(w, test.request())
			requireProblem(t, w, test.status, test.config.ProblemBase+test.problem)
			require.Zero(t, dials.Load())
			require.Zero(t, handler.times)
		})
	}
}

func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, problemType string) {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "secret")
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
	require.Equal(t, problemType, problem.Type)
	require.Equal(t, status, problem.Status)
	require.NotEmpty(t, problem.Title)
	require.NotEmpty(t, problem.Detail)
}

func TestWhatPassesThrough(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config idemhttp.Config
		method string
		key    string
	}{
		"GET with a key":        {method: http.MethodGet, key: "a"},
		"PUT with a key":        {method: http.MethodPut, key: "a"},
		"DELETE without":        {method: http.MethodDelete},
		"GET with a bad key":    {method: http.MethodGet, key: `"`},
		"POST when not listed":  {config: idemhttp.Config{Methods: []string{http.MethodPut}}, method: http.MethodPost, key: "a"},
		"POST when optional":    {config: idemhttp.Config{Optional: true}, method: http.MethodPost},
		"PATCH when optional":   {config: idemhttp.Config{Optional: true}, method: http.MethodPatch},
		"more than is accepted": {config: idemhttp.Config{MaxBodyBytes: 1}, method: http.MethodGet, key: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, dials := unreachable(t)
			test.config.Scope = func(*http.Request) (scope.Scope, error) { return scope.Scope{}, errors.New("asked") }
			w := httptest.NewRecorder()
			handler := new(ran)
			idemhttp.Middleware(store, test.config)(handler).ServeHTTP(w, request(test.method, test.key, "body"))
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, "body", w.Body.String())
			require.Zero(t, dials.Load())
			require.Equal(t, 1, handler.times)
		})
	}
}

// TestADatabaseThatIsAway is told to the operator, and to the client without
// saying how; neither gets the key.
func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	store, dials := unreachable(t)
	var log bytes.Buffer
	handler := new(ran)
	protected := idemhttp.Middleware(store, idemhttp.Config{
		Scope:       someone,
		ProblemBase: "/problems/",
		Logger:      slog.New(slog.NewTextHandler(&log, nil)),
	})(handler)
	w := httptest.NewRecorder()
	r := request(http.MethodPost, "secret", "secret")
	r.URL.RawQuery = "token=secret"
	protected.ServeHTTP(w, r)

	requireProblem(t, w, http.StatusServiceUnavailable, "/problems/unavailable")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Positive(t, dials.Load())
	require.Zero(t, handler.times)
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "problem=unavailable")
	require.Contains(t, log.String(), "scope=sha256:")
	require.Contains(t, log.String(), "connection refused")
	require.NotContains(t, log.String(), "secret")
	require.NotContains(t, log.String(), "someone")
}

// TestAClientThatIsGone is answered nonetheless: should the context have ended
// for another reason, net/http would send an empty 200 for work not done.
func TestAClientThatIsGone(t *testing.T) {
	t.Parallel()
	store, _ := unreachable(t)
	var log bytes.Buffer
	protected := idemhttp.Middleware(store, idemhttp.Config{
		Scope: someone, ProblemBase: "/problems/", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})(new(ran))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	protected.ServeHTTP(w, request(http.MethodPost, "a", "").WithContext(ctx))
	requireProblem(t, w, http.StatusServiceUnavailable, "/problems/unavailable")
	require.Empty(t, log.String())
}

func TestMiddlewarePanicsOnProgrammingErrors(t *testing.T) {
	t.Parallel()
	store, _ := unreachable(t)
	require.PanicsWithValue(t, "idemhttp: nil store", func() {
		idemhttp.Middleware(nil, idemhttp.Config{Scope: someone})
	})
	require.PanicsWithValue(t, "idemhttp: nil Config.Scope", func() {
		idemhttp.Middleware(store, idemhttp.Config{})
	})
	require.PanicsWithValue(t, "idemhttp: negative Config.MaxBodyBytes", func() {
		idemhttp.Middleware(store, idemhttp.Config{Scope: someone, MaxBodyBytes: -1})
	})
	const noName = "idemhttp: what is no header name in Config.AllowHeaders, DenyHeaders or Policy.ReplayedHeader"
	for _, config := range []idemhttp.Config{
		{AllowHeaders: []string{""}},
		{DenyHeaders: []string{"X-A: b"}},
		{Policy: idemhttp.Policy{ReplayedHeader: "a\r\nb"}},
	} {
		config.Scope = someone
		require.PanicsWithValue(t, noName, func() { idemhttp.New(store, config) })
	}
	require.PanicsWithValue(t, "idemhttp: nil handler", func() {
		idemhttp.Middleware(store, idemhttp.Config{Scope: someone})(nil)
	})
}

// TestMethodsAreCopied: who goes on to use the slice changes nothing.
func TestMethodsAreCopied(t *testing.T) {
	t.Parallel()
	store, _ := unreachable(t)
	methods := []string{http.MethodPut}
	protected := idemhttp.Middleware(store, idemhttp.Config{Scope: someone, Methods: methods})(new(ran))
	methods[0] = http.MethodPost
	w := httptest.NewRecorder()
	protected.ServeHTTP(w, request(http.MethodPut, "", ""))
	require.Equal(t, http.StatusBadRequest, w.Code)
}
