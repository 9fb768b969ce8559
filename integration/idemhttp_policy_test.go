package integration

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// TestHTTPFailuresAreForgotten: the client gets what the handler has said, its
// writes are undone, and a retry runs again and may succeed.
func TestHTTPFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, status := range []int{400, 402, 404, 409, 422, 429, 500, 503, 599} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprint("failure ", status)
			var again atomic.Bool
			s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, key); err != nil {
					panic(err)
				}
				if !again.Load() {
					w.Header().Set("X-Reason", "mine")
					w.Header().Set("Set-Cookie", "a=b")
					w.WriteHeader(status)
				}
				_, _ = io.WriteString(w, "the handler's")
			})
			for range 2 {
				got := s.send(s.post(key, "{}"))
				require.Equal(t, status, got.status)
				require.Equal(t, "the handler's", got.body)
				require.Equal(t, "mine", got.header.Get("X-Reason"))
				require.Equal(t, "a=b", got.header.Get("Set-Cookie"))
				require.False(t, got.replayed())
				require.Zero(t, f.effects(key))
				require.Zero(t, f.rows(key))
			}
			require.EqualValues(t, 2, s.runs.Load())
			again.Store(true)
			got := s.send(s.post(key, "{}"))
			require.Equal(t, http.StatusOK, got.status)
			require.NotContains(t, got.header, "X-Reason")
			require.Equal(t, 1, f.effects(key))
		})
	}
}

// TestHTTPKeptRefusals: what the policy keeps is replayed although nothing was
// done, also when it was PostgreSQL that refused.
func TestHTTPKeptRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "CREATE UNIQUE INDEX ON "+f.schema+".effects (key) WHERE key LIKE 'seat%'")
	exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('seat taken')")
	keep := idemhttp.Policy{Decide: func(status int, header http.Header) idemhttp.Decision {
		if status == http.StatusConflict && header.Get("X-Final") == "yes" {
			return idemhttp.Keep
		}
		return idemhttp.IETF.Decide(status, header)
	}}
	s := f.serve(idemhttp.Config{Policy: keep}, func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if err := f.insert(r, "undone "+key); err != nil {
			panic(err)
		}
		if err := f.insert(r, key); err != nil || key == "declined" {
			w.Header().Set("X-Final", "yes")
			w.Header().Set("Set-Cookie", "a=secret")
			http.Error(w, "no", http.StatusConflict)
		}
	})
	for _, key := range []string{"declined", "seat taken"} {
		first, second := s.send(s.post(key, "{}")), s.send(s.post(key, "{}"))
		require.Equal(t, http.StatusConflict, first.status, first.body)
		require.Equal(t, "no\n", first.body)
		require.Equal(t, "a=secret", first.header.Get("Set-Cookie"))
		require.Equal(t, "yes", second.header.Get("X-Final"))
		require.Equal(t, heard{http.StatusConflict, second.header, "no\n"}, second)
		require.True(t, second.replayed())
		require.NotContains(t, second.header, "Set-Cookie")
		require.Zero(t, f.effects("undone "+key))
		require.Equal(t, 1, f.rows(key))
	}
	require.EqualValues(t, 2, s.runs.Load())
}

func TestHTTPPanicsUndoAndGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	boom := errors.New("boom")
	var caught atomic.Value
	var again atomic.Bool
	s := f.serveInside(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "panic"); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "done")
		if !again.Load() {
			panic(boom)
		}
	}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if p := recover(); p != nil {
					caught.Store(p)
					panic(http.ErrAbortHandler)
				}
			}()
			next.ServeHTTP(w, r)
		})
	})
	_, err := s.try(s.post("panic", "{}"))
	require.Error(t, err, "nothing has been sent")
	require.Equal(t, boom, caught.Load())
	require.Zero(t, f.effects("panic"))
	require.Zero(t, f.rows("panic"))

	again.Store(true)
	got := s.send(s.post("panic", "{}"))
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, "done", got.body)
	require.False(t, got.replayed())
	require.Equal(t, 1, f.effects("panic"))
}
