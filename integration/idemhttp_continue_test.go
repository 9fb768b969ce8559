package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

const bodyLimit = 100

// start sends the head of a request, whose body is yet to come.
func (s *service) start(lines ...string) *wire {
	s.t.Helper()
	w := s.dial()
	w.write(append(append([]string{"POST /orders HTTP/1.1", "Host: a.example"}, lines...), "")...)
	return w
}

// TestHTTPRefusesBeforeTheBody: none of these clients sends a byte of its body,
// and an answer that waited for one would not come.
func TestHTTPRefusesBeforeTheBody(t *testing.T) {
	t.Parallel()
	const key, user, length, chunked = "Idempotency-Key: secret", "X-User: annabel", "Content-Length: 50", "Transfer-Encoding: chunked"
	for name, test := range map[string]struct {
		lines   []string
		status  int
		problem string
	}{
		"no key":           {[]string{user, length}, 400, "key_missing"},
		"a bad key":        {[]string{user, length, key + ", b"}, 400, "key_invalid"},
		"no scope":         {[]string{key, length}, 401, "unauthenticated"},
		"no scope, chunks": {[]string{key, chunked}, 401, "unauthenticated"},
		"too long":         {[]string{key, user, "Content-Length: 101"}, 413, "body_too_large"},
		"far too long":     {[]string{key, user, "Content-Length: 9000000000"}, 413, "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{MaxBodyBytes: bodyLimit}, f.works)
			w := s.start(append(test.lines, "Expect: 100-continue")...)
			w.read().requireProblem(t, test.status, test.problem)
			w.smuggle()
			if test.status == http.StatusRequestEntityTooLarge { // net/http waits for the rest of what may still end
				w = s.start(test.lines...)
				w.read().requireProblem(t, test.status, test.problem)
				w.smuggle()
			}
			require.Zero(t, s.runs.Load())
			require.Zero(t, f.rows("secret"))
		})
	}
}

// closes requires the server to end the connection, on which nothing more comes.
func (w *wire) closes() {
	w.t.Helper()
	rest, err := io.ReadAll(w.in)
	require.NotErrorIs(w.t, err, os.ErrDeadlineExceeded)
	require.Empty(w.t, rest)
}

// smuggle sends a request where the server has not read a body to its end. It
// must not be read as a request.
func (w *wire) smuggle() {
	w.t.Helper()
	_, _ = io.WriteString(w.conn, "POST /orders HTTP/1.1\r\nHost: a.example\r\nX-User: annabel\r\n"+
		"Idempotency-Key: smuggled\r\nContent-Length: 0\r\n\r\n") // fails when the server is done with us
	_ = w.conn.(*net.TCPConn).CloseWrite()
	w.closes()
}

func TestHTTPExpectContinue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{MaxBodyBytes: bodyLimit}, f.works)
	for i := range 2 {
		w := s.start("Idempotency-Key: continue", "X-User: annabel", "Content-Length: 5", "Expect: 100-continue")
		require.Equal(t, http.StatusContinue, w.read().status)
		_, err := io.WriteString(w.conn, "hello")
		require.NoError(t, err)
		got := w.read()
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, i == 1, got.replayed())
	}
	require.True(t, s.plain("continue", "hello").replayed(), "how a body was asked for is not a part of it")
	require.Equal(t, 1, f.effects("continue"))
}

// plain sends a body at once, and with its length.
func (s *service) plain(key, body string) heard {
	s.t.Helper()
	w := s.start("Idempotency-Key: "+key, "X-User: annabel", fmt.Sprintf("Content-Length: %d", len(body)))
	_, err := io.WriteString(w.conn, body)
	require.NoError(s.t, err)
	return w.read()
}

// TestHTTPBodyLimit: a body of the limit is accepted, and one more byte is not,
// whether it was announced or comes in chunks.
func TestHTTPBodyLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{MaxBodyBytes: bodyLimit}, f.works)
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n)) }
	chunked := []string{"Idempotency-Key: limit", "X-User: annabel", "Transfer-Encoding: chunked"}

	over := s.start(chunked...)
	_, err := io.WriteString(over.conn, chunk(60)+chunk(41)) // and the last chunk never comes
	require.NoError(t, err)
	over.read().requireProblem(t, http.StatusRequestEntityTooLarge, "body_too_large")
	over.smuggle()
	require.Zero(t, s.runs.Load())
	require.Zero(t, f.rows("limit"))

	at := s.start(chunked...)
	_, err = io.WriteString(at.conn, chunk(60)+chunk(40)+"0\r\n\r\n")
	require.NoError(t, err)
	require.Equal(t, "done", at.read().body)
	require.True(t, s.plain("limit", strings.Repeat("x", bodyLimit)).replayed(), "chunks are not a part of the body")
	s.plain("limit", strings.Repeat("x", bodyLimit+1)).requireProblem(t, http.StatusRequestEntityTooLarge, "body_too_large")
	require.Equal(t, 1, f.effects("limit"))
}

// TestHTTPBodyLimitBehindOthers: with a writer that is not net/http's, too, the
// answer does not wait for the rest of a body that nobody reads.
func TestHTTPBodyLimitBehindOthers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a length": "Content-Length: 101\r\n\r\nhello",
		"chunks":   "Transfer-Encoding: chunked\r\n\r\n65\r\n" + strings.Repeat("x", bodyLimit+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serveInside(idemhttp.Config{MaxBodyBytes: bodyLimit}, f.works, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
				})
			})
			w := s.dial()
			_, err := io.WriteString(w.conn, "POST /orders HTTP/1.1\r\nHost: a.example\r\nX-User: annabel\r\nIdempotency-Key: limit\r\n"+body)
			require.NoError(t, err)
			w.read().requireProblem(t, http.StatusRequestEntityTooLarge, "body_too_large")
			w.smuggle()
			require.Zero(t, s.runs.Load())
			require.Zero(t, f.rows("smuggled"))
		})
	}
}

// TestHTTPLongBodyEndsItsStreamAlone: HTTP/2 has other requests on the connection,
// which a body over the limit is no reason to end.
func TestHTTPLongBodyEndsItsStreamAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveOn(http2, idemhttp.Config{MaxBodyBytes: bodyLimit}, f.works)
	long := s.post("long", strings.Repeat("x", bodyLimit+1))
	chunked := s.post("long", "")
	chunked.Body, chunked.ContentLength, chunked.GetBody = io.NopCloser(strings.NewReader(strings.Repeat("x", bodyLimit+1))), -1, nil
	var connections []string
	for _, r := range []*http.Request{long, chunked, s.post("short", "{}")} {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			connections = append(connections, info.Conn.LocalAddr().String())
		}}
		got := s.send(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if r.Header.Get("Idempotency-Key") == "long" {
			got.requireProblem(t, http.StatusRequestEntityTooLarge, "body_too_large")
		} else {
			require.Equal(t, "done", got.body)
		}
	}
	require.Len(t, slices.Compact(connections), 1)
}

// TestHTTPHalfABodyIsNothing: a body that ends before its end reaches no handler,
// and the whole one is served under the same key.
func TestHTTPHalfABodyIsNothing(t *testing.T) {
	t.Parallel()
	for name, part := range map[string][]string{
		"a length that is not reached": {"Content-Length: 5", "", "hel"},
		"nothing of it":                {"Content-Length: 5", "", ""},
		"no last chunk":                {"Transfer-Encoding: chunked", "", "3", "hel"},
		"half a chunk":                 {"Transfer-Encoding: chunked", "", "5", "hel"},
		"no chunk":                     {"Transfer-Encoding: chunked", "", ""},
		"a size that is none":          {"Transfer-Encoding: chunked", "", "3", "hel", "xyz", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{}, f.works)
			w := s.dial()
			head := []string{"POST /orders HTTP/1.1", "Host: a.example", "X-User: annabel", "Idempotency-Key: " + name}
			_, err := io.WriteString(w.conn, strings.Join(append(head, part...), "\r\n"))
			require.NoError(t, err)
			require.NoError(t, w.conn.(*net.TCPConn).CloseWrite())
			w.read().requireProblem(t, http.StatusBadRequest, "body_incomplete")
			w.closes()
			require.Zero(t, f.rows(name))

			got := s.plain(name, "hello")
			require.Equal(t, "done", got.body)
			require.False(t, got.replayed())
			require.Equal(t, 1, f.effects(name))
		})
	}
}

// TestHTTPBodyThatBreaksOff is TestHTTPHalfABodyIsNothing with clients that do
// not wait for an answer: they close the connection, or the stream.
func TestHTTPBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, length := range map[string]int64{"a length": 10, "no length": -1} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				ended := make(chan struct{}, 2)
				s := f.serveOn(func(srv *httptest.Server) {
					srv.EnableHTTP2 = protocol == "HTTP/2.0"
					protected := srv.Config.Handler
					srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						protected.ServeHTTP(w, r)
						ended <- struct{}{}
					})
				}, idemhttp.Config{}, f.works)
				// The client resets its stream. Were it to close its connection then with
				// something unread, the server might never hear of the request.
				gone := errors.New("gone")
				r := s.post("broken", "")
				r.Header.Set("Content-Type", "text/plain") // of which any half could be a whole
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader("hello"), failingReader{gone}))
				r.ContentLength, r.GetBody = length, nil
				_, err := s.try(r)
				require.ErrorIs(t, err, gone)
				<-ended
				require.Zero(t, s.runs.Load())
				require.Zero(t, f.rows("broken"))
				require.Equal(t, "done", s.send(s.post("broken", `"hello"`)).body)
				require.Equal(t, 1, f.effects("broken"))
			})
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// TestHTTPReadTimeoutEndsASlowBody: the server's limit holds for a body that the
// middleware reads.
func TestHTTPReadTimeoutEndsASlowBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveOn(func(srv *httptest.Server) {
		srv.Config.ReadHeaderTimeout = time.Minute
		srv.Config.ReadTimeout = 100 * time.Millisecond // ended or not when the body begins: it never ends
	}, idemhttp.Config{}, f.works)
	w := s.start("Idempotency-Key: slow", "X-User: annabel", "Content-Length: 5")
	_, err := io.WriteString(w.conn, "hel")
	require.NoError(t, err)
	w.read().requireProblem(t, http.StatusBadRequest, "body_incomplete")
	w.closes()
	require.Zero(t, s.runs.Load())
	require.Zero(t, f.rows("slow"))

	patient := f.serve(idemhttp.Config{}, f.works)
	require.Equal(t, "done", patient.plain("slow", "hello").body)
	require.Equal(t, 1, f.effects("slow"))
}
