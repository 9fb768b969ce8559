package integration

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/scope"
)

// service is a protected handler behind a server of net/http.
type service struct {
	*fixture
	url    string
	client *http.Client
	runs   atomic.Int64 // of the handler
}

// serve protects handler with config, whose Scope is the X-User header if unset.
func (f *fixture) serve(config idemhttp.Config, handler http.HandlerFunc) *service {
	f.t.Helper()
	return f.serveInside(config, handler, func(next http.Handler) http.Handler { return next })
}

// serveInside is serve with something around the middleware.
func (f *fixture) serveInside(config idemhttp.Config, handler http.HandlerFunc, outer func(http.Handler) http.Handler) *service {
	f.t.Helper()
	s := &service{fixture: f}
	if config.Scope == nil {
		config.Scope = func(r *http.Request) (scope.Scope, error) { return scope.New("tenant", r.Header.Get("X-User")) }
	}
	config.ProblemBase = "/problems/"
	protected := idemhttp.Middleware(f.store, config)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.runs.Add(1)
		handler(w, r)
	}))
	srv := httptest.NewUnstartedServer(outer(protected))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports panics, which are meant here
	srv.Start()
	f.t.Cleanup(srv.Close)
	s.url, s.client = srv.URL, srv.Client()
	return s
}

// insert does the work of a handler: a row in the table effects.
func (f *fixture) insert(r *http.Request, key string) error {
	_, err := f.effect(r.Context(), idemhttp.Tx(r.Context()), key)
	return err
}

// heard is what a client got.
type heard struct {
	status int
	header http.Header
	body   string
}

func (h heard) replayed() bool { return h.header.Get("Idempotency-Replayed") == "true" }

// post makes the request that most tests send.
func (s *service) post(key, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/orders?dry=0", strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "annabel")
	return r
}

// send sends r and hears the answer.
func (s *service) send(r *http.Request) heard {
	s.t.Helper()
	h, err := s.try(r)
	require.NoError(s.t, err)
	return h
}

func (s *service) try(r *http.Request) (heard, error) {
	response, err := s.client.Do(r)
	if err != nil {
		return heard{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return heard{response.StatusCode, response.Header, string(body)}, err
}

// requireProblem requires the answer to be a problem of the middleware's.
func (h heard) requireProblem(t *testing.T, status int, name string) {
	t.Helper()
	require.Equal(t, status, h.status, h.body)
	require.Equal(t, "application/problem+json", h.header.Get("Content-Type"))
	require.Contains(t, h.body, `"type":"/problems/`+name+`"`)
	require.NotContains(t, h.body, "secret")
	require.False(t, h.replayed())
}

func TestHTTPReplaysByteForByte(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	page := "<!DOCTYPE html>\x00\xff\r\n"
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "html"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Location", "/orders/1")
		h.Set("X-Latin", "caf\xe9")
		h["X-List"] = []string{"b", "a"}
		h.Set("Authorization", "Bearer secret")
		h.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "secret"})
		w.WriteHeader(http.StatusCreated)
		for _, piece := range strings.SplitAfter(page, ">") {
			_, _ = io.WriteString(w, piece)
		}
	})

	first := s.send(s.post("html", `{"a": 1, "b": [2]}`))
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.Equal(t, page, first.body)
	require.Equal(t, "session=secret", first.header.Get("Set-Cookie"))
	require.Equal(t, "Bearer secret", first.header.Get("Authorization"))
	require.Equal(t, "text/html; charset=utf-8", first.header.Get("Content-Type"))
	require.NotContains(t, first.header, "Idempotency-Replayed")

	for _, again := range []*http.Request{
		s.post("html", `{"a": 1, "b": [2]}`),
		s.post(`"html"`, `{ "b":[2], "a":1e0 }`),
	} {
		second := s.send(again)
		require.True(t, second.replayed())
		require.NotEqual(t, first.header.Get("Date"), second.header.Get("Date"))
		want := first.header.Clone()
		for _, name := range []string{"Set-Cookie", "Authorization", "Date"} {
			want.Del(name)
		}
		second.header.Del("Date")
		second.header.Del("Idempotency-Replayed")
		require.Equal(t, heard{first.status, want, first.body}, second)
	}
	require.Equal(t, 1, f.effects("html"))
	require.EqualValues(t, 1, s.runs.Load())
	require.Zero(t, ask[int](t, "SELECT count(*) FROM "+f.table()+
		" WHERE response::text LIKE '%secret%' OR position('secret'::bytea IN body) > 0"))
}

func TestHTTPEmptyReplyIsAReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "empty"); err != nil {
			panic(err)
		}
	})
	for i := range 2 {
		got := s.send(s.post("empty", ""))
		require.Equal(t, http.StatusOK, got.status)
		require.Empty(t, got.body)
		require.Equal(t, "0", got.header.Get("Content-Length"))
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects("empty"))
}

func TestHTTPRedirectionsCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "redirect"); err != nil {
			panic(err)
		}
		http.Redirect(w, r, "/orders/1", http.StatusSeeOther)
	})
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for i := range 2 {
		got := s.send(s.post("redirect", ""))
		require.Equal(t, http.StatusSeeOther, got.status)
		require.Equal(t, "/orders/1", got.header.Get("Location"))
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects("redirect"))
}

func TestHTTPScopesShareNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "shared"); err != nil {
			panic(err)
		}
		_, _ = io.WriteString(w, "hello "+r.Header.Get("X-User"))
	})
	for i := range 2 {
		for _, user := range []string{"annabel", "bob"} {
			r := s.post("shared", "{}")
			r.Header.Set("X-User", user)
			got := s.send(r)
			require.Equal(t, "hello "+user, got.body)
			require.Equal(t, i == 1, got.replayed())
		}
	}
	require.Equal(t, 2, f.effects("shared"))
}

func TestHTTPManyAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "storm"); err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "done")
	})
	answers := make([]heard, 30)
	errs := make([]error, len(answers))
	var senders sync.WaitGroup
	for i := range answers {
		r := s.post("storm", "{}")
		senders.Go(func() { answers[i], errs[i] = s.try(r) })
	}
	senders.Wait()
	replays := 0
	for i, got := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, "done", got.body)
		if got.replayed() {
			replays++
		}
	}
	require.Equal(t, len(answers)-1, replays)
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, f.effects("storm"))
}

// TestHTTPTwoMiddlewaresAreOne: the inner one of the same store would wait for
// the outer one's lock.
func TestHTTPTwoMiddlewaresAreOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	config := idemhttp.Config{Scope: func(*http.Request) (scope.Scope, error) { return f.scope, nil }}
	inner := idemhttp.Middleware(f.store, config)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "nested"); err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	s := f.serve(config, inner.ServeHTTP)
	for i := range 2 {
		got := s.send(s.post("nested", "{}"))
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects("nested"))
}
