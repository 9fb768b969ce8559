package integration

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// served is a service that works.
func served(t *testing.T, config idemhttp.Config, options ...option) *service {
	t.Helper()
	f := newFixture(t, options...)
	return f.serve(config, f.works)
}

// host serves a handler that does without the middleware, or has its own.
func (f *fixture) host(handler http.Handler) *service {
	f.t.Helper()
	srv := httptest.NewServer(handler)
	f.t.Cleanup(srv.Close)
	return &service{fixture: f, url: srv.URL, client: srv.Client()}
}

// keyed is a request with these lines of the header, or none.
func (s *service) keyed(lines ...string) *http.Request {
	s.t.Helper()
	r := s.post("", "{}")
	r.Header["Idempotency-Key"] = lines
	return r
}

// begin sends r and goes on.
func (s *service) begin(r *http.Request) <-chan heard {
	answer := make(chan heard, 1)
	go func() {
		got, err := s.try(r)
		if err != nil {
			got.body = err.Error()
		}
		answer <- got
	}()
	return answer
}

// occupied is a service whose first request, with that key, is in its handler. It
// stays there until end is called, which returns what its client got.
func occupied(t *testing.T, config idemhttp.Config, key string, options ...option) (s *service, end func() heard) {
	t.Helper()
	f := newFixture(t, options...)
	running, goOn := make(chan struct{}), make(chan struct{})
	s = f.serve(config, func(w http.ResponseWriter, r *http.Request) {
		if s.runs.Load() == 1 {
			close(running)
			<-goOn
		}
		f.works(w, r)
	})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release) // before the server's, which waits for the handler
	first := s.begin(s.post(key, "{}"))
	select {
	case <-running:
	case got := <-first:
		require.Fail(t, "the handler did not run", got.body)
	}
	return s, func() heard {
		release()
		return <-first
	}
}

// requireReplayOf requires h to be the first answer again.
func (h heard) requireReplayOf(t *testing.T, first heard) {
	t.Helper()
	require.True(t, h.replayed(), h.body)
	require.False(t, first.replayed())
	require.Equal(t, first.status, h.status)
	require.Equal(t, first.body, h.body)
}

// requireCreated requires h to be the answer of a handler that has worked.
func (h heard) requireCreated(t *testing.T) {
	t.Helper()
	require.Equal(t, http.StatusCreated, h.status, h.body)
	require.Equal(t, "done", h.body)
}
