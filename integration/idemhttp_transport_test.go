package integration

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// retrying puts a Transport around the client's own.
func (s *service) retrying() {
	s.client.Transport = &idemhttp.Transport{Base: s.client.Transport, MinWait: time.Millisecond}
}

// keyless is a request of s.post that Transport gives a key.
func (s *service) keyless(body string) *http.Request {
	s.t.Helper()
	r := s.post("", body)
	r.Header.Del("Idempotency-Key")
	return r
}

// TestTransportHearsWhatTheServerDiedWith: it has committed, and is gone before
// it has answered.
func TestTransportHearsWhatTheServerDiedWith(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]func(http.ResponseWriter){
		"the connection is closed": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"a proxy answers":          func(w http.ResponseWriter) { http.Error(w, "<h1>Bad Gateway</h1>", http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var sent atomic.Int64
			s := f.serveInside(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "died"); err != nil {
					panic(err)
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, "order 1")
			}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if sent.Add(1) > 2 {
						next.ServeHTTP(w, r)
						return
					}
					next.ServeHTTP(&unheard{}, r)
					assert.Equal(t, 1, f.effects("died"), "it has happened")
					dies(w)
				})
			})
			s.retrying()
			got := s.send(s.keyless(`{"a": 1}`))
			require.Equal(t, http.StatusCreated, got.status, got.body)
			require.Equal(t, "order 1", got.body)
			require.True(t, got.replayed())
			require.EqualValues(t, 3, sent.Load())
			require.EqualValues(t, 1, s.runs.Load())
			require.Equal(t, 1, f.effects("died"))
		})
	}
}

// unheard is a response that never reaches the client.
type unheard struct{ header http.Header }

func (w *unheard) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *unheard) Write(p []byte) (int, error) { return len(p), nil }
func (w *unheard) WriteHeader(int)             {}

// TestTransportWaitsForTheFirst: the 409 of a request in flight becomes its reply.
func TestTransportWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(refusing))
	working, refused := make(chan struct{}), make(chan struct{})
	refuse := sync.OnceFunc(func() { close(refused) })
	s := f.serveInside(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "flight"); err != nil {
			panic(err)
		}
		close(working)
		<-refused
		w.WriteHeader(http.StatusCreated)
	}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&statusSeen{w, func(status int) {
				if status == http.StatusConflict {
					assert.Equal(t, "1", w.Header().Get("Retry-After"))
					refuse()
				}
			}}, r)
		})
	})
	first := s.post("flight", "{}")
	answered := make(chan int)
	go func() {
		got, err := s.try(first)
		assert.NoError(t, err)
		answered <- got.status
	}()
	<-working

	second := &service{fixture: f, url: s.url, client: &http.Client{Transport: s.client.Transport}}
	second.retrying()
	got := second.send(s.post("flight", "{}"))
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.True(t, got.replayed())
	require.Equal(t, http.StatusCreated, <-answered)
	require.Equal(t, 1, f.effects("flight"))
}

// statusSeen tells each status before it is sent.
type statusSeen struct {
	http.ResponseWriter
	seen func(int)
}

func (w *statusSeen) WriteHeader(status int) {
	w.seen(status)
	w.ResponseWriter.WriteHeader(status)
}

// TestTransportTakesAMismatchForAnAnswer, and what else a retry does not mend.
func TestTransportTakesAMismatchForAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var sent atomic.Int64
	s := f.serveInside(idemhttp.Config{}, f.works, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent.Add(1)
			next.ServeHTTP(w, r)
		})
	})
	s.retrying()
	require.Equal(t, "done", s.send(s.post("mismatch", `{"a": 1}`)).body)
	s.send(s.post("mismatch", `{"a": 2}`)).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	s.send(s.post(`"unfinished`, `{}`)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	s.send(s.keyless(`{"a": `)).requireProblem(t, http.StatusBadRequest, "body_invalid")
	require.EqualValues(t, 4, sent.Load())
}

// TestTransportKeyOfAResponseThatBreaksOff is where the documentation says it is,
// and gets the caller the rest.
func TestTransportKeyOfAResponseThatBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var sent atomic.Int64
	s := f.serveInside(idemhttp.Config{}, f.works, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sent.Add(1) > 1 {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(&unheard{}, r)
			w.Header().Set("Content-Length", strconv.Itoa(len("done")))
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "do")
			assert.NoError(t, http.NewResponseController(w).Flush())
			panic(http.ErrAbortHandler)
		})
	})
	s.retrying()
	response, err := s.client.Do(s.keyless("{}"))
	require.NoError(t, err)
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	got := s.send(s.post(response.Request.Header.Get("Idempotency-Key"), "{}"))
	require.Equal(t, "done", got.body)
	require.True(t, got.replayed())
	require.EqualValues(t, 1, s.runs.Load())
}

// TestTransportOutlivesFailuresThatPass: a 503 of the middleware's is not the end.
func TestTransportOutlivesFailuresThatPass(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing(4, "40001", false) // three runs and a 503, and one more
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "passing"); err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	s.retrying()
	got := s.send(s.keyless("{}"))
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.False(t, got.replayed())
	require.Equal(t, 1, f.effects("passing"))
}
