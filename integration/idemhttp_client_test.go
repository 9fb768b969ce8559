package integration

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/scope"
)

// TestHTTPSendsNothingBeforeCommit looks, at the moment of the first byte, at
// what others can see.
func TestHTTPSendsNothingBeforeCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	committed := make(chan int, 1)
	s := f.serveInside(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		f.works(w, r)
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&firstByte{w, func() { committed <- f.effects("visible") }}, r)
		})
	})
	require.Equal(t, http.StatusCreated, s.send(s.post("visible", "{}")).status)
	require.Equal(t, 1, <-committed)
}

// firstByte tells when a handler begins to reply.
type firstByte struct {
	http.ResponseWriter
	seen func()
}

func (w *firstByte) WriteHeader(status int) {
	w.seen()
	w.ResponseWriter.WriteHeader(status)
}

// TestHTTPSlowClientHoldsNoConnection: a request whose body is on its way leaves
// the only connection to another.
func TestHTTPSlowClientHoldsNoConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	arrived := make(chan string, 2)
	s := f.serve(idemhttp.Config{Scope: func(r *http.Request) (scope.Scope, error) {
		arrived <- r.Header.Get("Idempotency-Key")
		return f.scope, nil
	}}, f.works)
	body, client := io.Pipe()
	slow := s.post("slow", "")
	slow.Body, slow.ContentLength, slow.GetBody = body, -1, nil
	ended := make(chan heard)
	go func() {
		got, err := s.try(slow)
		if err != nil {
			got.body = err.Error()
		}
		ended <- got
	}()
	_, err := io.WriteString(client, `{"a":`)
	require.NoError(t, err)
	require.Equal(t, "slow", <-arrived)
	require.Equal(t, "done", s.send(s.post("quick", "{}")).body)
	_, err = io.WriteString(client, `1}`)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.Equal(t, "done", (<-ended).body)
}

// TestHTTPClientThatHangsUpUndoes: a handler that goes on after its client has
// gone is undone, and the retry runs again.
func TestHTTPClientThatHangsUpUndoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	working, returned := make(chan struct{}), make(chan struct{}, 2)
	var s *service
	s = f.serveInside(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		f.works(w, r)
		if s.runs.Load() == 1 {
			close(working)
			<-r.Context().Done()
		}
	}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			returned <- struct{}{}
		})
	})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-working
		hangUp()
	}()
	_, err := s.try(s.post("gone", "{}").WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	<-returned
	require.Zero(t, f.effects("gone"))
	require.Zero(t, f.rows("gone"))

	got := s.send(s.post("gone", "{}"))
	require.Equal(t, "done", got.body)
	require.False(t, got.replayed())
	require.Equal(t, 1, f.effects("gone"))
}
