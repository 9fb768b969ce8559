package integration

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

// tap is a listener that tells of each first byte that a connection sends, at the
// last moment before the client can see it.
type tap struct {
	net.Listener
	sending func()
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &tapped{Conn: conn, sending: sync.OnceFunc(l.sending)}, err
}

type tapped struct {
	net.Conn
	sending func()
}

func (c *tapped) Write(p []byte) (int, error) {
	c.sending()
	return c.Conn.Write(p)
}

// hello is a body of unknown length, for which io.Copy looks for a way around
// Write.
func hello() io.Reader {
	return io.LimitReader(strings.NewReader(strings.Repeat("hello", 20_000)), 100_000)
}

// TestHTTPNoWayAroundTheCommit: whatever of net/http a handler reaches for, it is
// told no or its bytes are held back until others can see its work.
func TestHTTPNoWayAroundTheCommit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("hello", 20_000)
	for name, test := range map[string]struct {
		try  func(w http.ResponseWriter) error
		err  error
		body string
	}{
		"Flush": {func(w http.ResponseWriter) error {
			if _, flushes := w.(http.Flusher); flushes {
				return errors.New("it says that it flushes")
			}
			_, _ = io.WriteString(w, "hello")
			return http.NewResponseController(w).Flush()
		}, http.ErrNotSupported, "hello"},
		"Hijack": {func(w http.ResponseWriter) error {
			if _, hijacks := w.(http.Hijacker); hijacks {
				return errors.New("it says that it hijacks")
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return err
		}, http.ErrNotSupported, ""},
		"EnableFullDuplex": {func(w http.ResponseWriter) error {
			_, _ = io.WriteString(w, "hello")
			return http.NewResponseController(w).EnableFullDuplex()
		}, http.ErrNotSupported, "hello"},
		"SetReadDeadline": {func(w http.ResponseWriter) error {
			return http.NewResponseController(w).SetReadDeadline(time.Now())
		}, http.ErrNotSupported, ""},
		"SetWriteDeadline": {func(w http.ResponseWriter) error {
			return http.NewResponseController(w).SetWriteDeadline(time.Now())
		}, http.ErrNotSupported, ""},
		"server-sent events": {func(w http.ResponseWriter) error {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 2 {
				_, _ = io.WriteString(w, "data: 1\n\n")
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
					return err
				}
			}
			return nil
		}, nil, "data: 1\n\ndata: 1\n\n"},
		"io.Copy": {func(w http.ResponseWriter) error {
			n, err := io.Copy(w, hello())
			if n != int64(len(long)) {
				return io.ErrShortWrite
			}
			return err
		}, nil, long},
		"http.ServeContent": {func(w http.ResponseWriter) error {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(long))
			return nil
		}, nil, long},
		"early hints": {func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusContinue)
			_, err := io.WriteString(w, "hello")
			return err
		}, nil, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			seen := make(chan int, 10)
			s := f.serveOn(func(srv *httptest.Server) {
				srv.Listener = &tap{srv.Listener, func() { seen <- f.effects("stream") }}
			}, idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "stream"); err != nil {
					panic(err)
				}
				assert.ErrorIs(t, test.try(w), test.err)
				assert.Empty(t, seen, "nothing has been sent")
			})
			for i := range 2 {
				got := s.plain("stream", "hello")
				require.Equal(t, http.StatusOK, got.status, got.body)
				require.Equal(t, test.body, got.body)
				require.Equal(t, i == 1, got.replayed())
				require.Equal(t, 1, <-seen, "the work is there for all to see")
			}
			require.EqualValues(t, 1, s.runs.Load())
		})
	}
}

// takes tells whether a response has room for n bytes more. Who has none says so
// at once, and takes none of them.
func takes(w io.Writer, n int) bool {
	taken, err := w.Write(make([]byte, n))
	if taken == n && err == nil || taken == 0 && errors.Is(err, idemtx.ErrReplyNotStorable) {
		return err == nil
	}
	panic("a part was taken")
}

// TestHTTPRefusesWhatCannotBeReplayed: an upgrade and trailers would be a promise
// that no replay can keep, so the work is undone and the client told of it.
func TestHTTPRefusesWhatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply  func(w http.ResponseWriter)
		logged string
	}{
		"an upgrade": {func(w http.ResponseWriter) {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}, "status"},
		"declared trailers": {func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "X-Secret")
			_, _ = io.WriteString(w, "secret")
			w.Header().Set("X-Secret", "secret")
		}, "trailers"},
		"trailers out of the blue": {func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "secret")
			w.Header().Set(http.TrailerPrefix+"X-Secret", "secret")
		}, "trailers"},
		"a body over the limit": {func(w http.ResponseWriter) {
			w.Header().Set("X-Secret", "secret")
			assert.True(t, takes(w, 600))
			for _, n := range []int{401, 401, 1} { // which no later Write can mend
				assert.False(t, takes(w, n))
			}
		}, "MaxReplyBytes"},
		"a body from a reader": {func(w http.ResponseWriter) {
			_, err := io.Copy(w, hello())
			assert.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
		}, "MaxReplyBytes"},
		"headers over the limit": {func(w http.ResponseWriter) {
			for range 100 {
				w.Header().Add("X-Secret", "a secret")
			}
		}, "more than 1000 bytes"},
		"body and headers over the limit": {func(w http.ResponseWriter) {
			w.Header().Set("X-Secret", strings.Repeat("secret", 100))
			assert.True(t, takes(w, 500))
		}, "more than 1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 1000 }))
			var log bytes.Buffer
			commitAll := idemhttp.Policy{Decide: func(int, http.Header) idemhttp.Decision { return idemhttp.Commit }}
			config := idemhttp.Config{Policy: commitAll, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			s := f.serve(config, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "undone"); err != nil {
					panic(err)
				}
				test.reply(w)
			})
			w := s.dial()
			for range 2 { // on one connection: what was refused has left nothing on it
				w.write("POST /orders HTTP/1.1", "Host: a.example", "X-User: annabel", "Idempotency-Key: undone",
					"Connection: Upgrade", "Upgrade: websocket", "TE: trailers", "Content-Length: 0", "")
				got := w.read()
				got.requireProblem(t, http.StatusInternalServerError, "internal")
				for _, name := range []string{"Upgrade", "Trailer", "X-Secret", "Transfer-Encoding", "Idempotency-Expires"} {
					require.NotContains(t, got.header, name)
				}
			}
			require.EqualValues(t, 2, s.runs.Load(), "it is not remembered")
			require.Zero(t, f.effects("undone"))
			require.Zero(t, f.rows("undone"))
			require.Contains(t, log.String(), test.logged)
			require.NotContains(t, log.String(), "secret")
		})
	}
}
