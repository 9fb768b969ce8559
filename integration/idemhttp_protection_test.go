package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// protection is one without a server: what another framework would use.
func (f *fixture) protection(config idemhttp.Config) *idemhttp.Protection {
	config.Scope = func(*http.Request) (scope.Scope, error) { return f.scope, nil }
	return idemhttp.New(f.store, config)
}

// asked is a request as another framework would make it.
func asked(t *testing.T, key, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Idempotency-Key", key)
	return r
}

// TestProtectionDo gives a framework of one's own what the middleware does: a
// transaction, a run again after it was undone, each decision, and the replay.
func TestProtectionDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		stored   bool
		replayed bool
		effects  int
	}{
		"commit": {http.StatusCreated, true, true, 1},
		"keep":   {http.StatusConflict, true, true, 0},
		"forget": {http.StatusBadRequest, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.failing(1, "40001", false)
			p := f.protection(idemhttp.Config{Policy: idemhttp.Stripe})
			runs := 0
			handle := func(r *http.Request) idemhttp.Response {
				runs++
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, name, idemhttp.Request(r.Context()).Key)
				if err := f.insert(r, "native"); err != nil {
					return idemhttp.Response{Status: http.StatusInternalServerError}
				}
				return idemhttp.Response{
					Status: test.status,
					Header: http.Header{"X-Run": {fmt.Sprint(runs)}, "Set-Cookie": {"a=b"}},
					Body:   body,
				}
			}
			first := p.Do(asked(t, name, "hello"), handle)
			second := p.Do(asked(t, name, "hello"), handle)
			require.Equal(t, test.status, first.Status)
			require.Equal(t, test.status, second.Status)
			require.Equal(t, "hello", string(first.Body))
			require.Equal(t, first.Body, second.Body)
			require.Equal(t, "2", first.Header.Get("X-Run"))
			require.Equal(t, "a=b", first.Header.Get("Set-Cookie"))
			require.Empty(t, first.Header.Get("Idempotent-Replayed"))
			require.Equal(t, test.replayed, second.Header.Get("Idempotent-Replayed") == "true")
			require.Equal(t, test.stored, first.Header.Get("Idempotency-Expires") != "")
			require.Equal(t, first.Header.Get("Idempotency-Expires"), second.Header.Get("Idempotency-Expires"))
			require.Equal(t, test.effects, f.effects("native"))
			require.Equal(t, http.StatusBadRequest, p.Do(asked(t, name, "other"), func(*http.Request) idemhttp.Response {
				return idemhttp.Response{Status: http.StatusBadRequest}
			}).Status)
		})
	}
}

// flows are how a handler uses the decision with another mode than Do.
var flows = map[string]func(context.Context, *fixture, idemtx.Request, func(execer) (idemhttp.Response, error)) (idemtx.Reply[idemhttp.Response], error){
	"DoPool": func(ctx context.Context, f *fixture, r idemtx.Request, work func(execer) (idemhttp.Response, error)) (idemtx.Reply[idemhttp.Response], error) {
		return idemtx.DoPool(ctx, f.store, r, func(context.Context) (idemhttp.Response, error) { return work(f.pool) })
	},
	"DoTx": func(ctx context.Context, f *fixture, r idemtx.Request, work func(execer) (idemhttp.Response, error)) (reply idemtx.Reply[idemhttp.Response], err error) {
		err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
			reply, err = idemtx.DoTx(ctx, f.store, tx, r, func(_ context.Context, tx pgx.Tx) (idemhttp.Response, error) { return work(tx) })
			return err
		})
		return reply, err
	},
}

// TestProtectionCheck is for handlers that work in DoTx or DoPool: they get the
// same answers, byte for byte.
func TestProtectionCheck(t *testing.T) {
	t.Parallel()
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p := f.protection(idemhttp.Config{ProblemBase: "/problems/"})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				request, err := p.Check(r)
				if err != nil {
					p.Refuse(r, request, err).Send(w)
					return
				}
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				reply, err := flow(r.Context(), f, request, func(db execer) (idemhttp.Response, error) {
					_, err := f.effect(r.Context(), db, request.Key)
					return idemhttp.Response{Status: http.StatusAccepted, Header: http.Header{"X-Own": {"1"}}, Body: body}, err
				})
				if err != nil {
					p.Refuse(r, request, err).Send(w)
					return
				}
				p.Answer(reply).Send(w)
			}))
			t.Cleanup(server.Close)
			s := &service{fixture: f, url: server.URL, client: server.Client()}
			for i := range 2 {
				got := s.send(s.post("flow", `{"a": 1}`))
				require.Equal(t, http.StatusAccepted, got.status, got.body)
				require.Equal(t, `{"a": 1}`, got.body)
				require.Equal(t, "1", got.header.Get("X-Own"))
				require.NotEmpty(t, got.header.Get("Idempotency-Expires"))
				require.Equal(t, i == 1, got.replayed())
			}
			require.Equal(t, 1, f.effects("flow"))
			s.send(s.post("flow", `{}`)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
			s.send(s.post(`"`, `{}`)).requireProblem(t, http.StatusBadRequest, "key_invalid")
		})
	}
}

// TestHTTPRoutesOfTheirOwn: one store, and a key is required on one route,
// optional on another, and answered in Stripe's words on a third.
func TestHTTPRoutesOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	owner := func(*http.Request) (scope.Scope, error) { return f.scope, nil }
	work := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, idemhttp.Tx(r.Context()) != nil)
	})
	mux := http.NewServeMux()
	mux.Handle("POST /required", idemhttp.Middleware(f.store, idemhttp.Config{Scope: owner})(work))
	mux.Handle("POST /optional", idemhttp.Middleware(f.store, idemhttp.Config{Scope: owner, Optional: true})(work))
	mux.Handle("POST /stripe", idemhttp.Middleware(f.store, idemhttp.Config{Scope: owner, Policy: idemhttp.Stripe})(work))
	for _, test := range []struct {
		path, key string
		status    int
		body      string
	}{
		{"/required", "", http.StatusBadRequest, `"status":400`},
		{"/optional", "", http.StatusOK, "false"},
		{"/stripe", "", http.StatusBadRequest, `"type":"invalid_request_error"`},
		{"/required", "a", http.StatusOK, "true"},
		{"/optional", "b", http.StatusOK, "true"},
		{"/optional", "a", http.StatusUnprocessableEntity, `"status":422`}, // one store, one key
		{"/stripe", "a", http.StatusBadRequest, `"type":"idempotency_error"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, test.path, http.NoBody)
		if test.key != "" {
			r.Header.Set("Idempotency-Key", test.key)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, test.status, w.Code, test)
		require.Contains(t, w.Body.String(), test.body, test)
	}
}
