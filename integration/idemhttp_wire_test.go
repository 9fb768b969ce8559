package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// serveOn is serve on a server that configure has changed. It speaks TLS if that
// has enabled HTTP/2.
func (f *fixture) serveOn(configure func(*httptest.Server), config idemhttp.Config, handler http.HandlerFunc) *service {
	f.t.Helper()
	var protected http.Handler
	s := f.serveInside(config, handler, func(next http.Handler) http.Handler {
		protected = next
		return next
	})
	srv := httptest.NewUnstartedServer(protected)
	configure(srv)
	if srv.EnableHTTP2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	f.t.Cleanup(srv.Close)
	s.url, s.client = srv.URL, srv.Client()
	return s
}

func http2(srv *httptest.Server) { srv.EnableHTTP2 = true }

// wire is a connection on which a test spells out what it sends.
type wire struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func (s *service) dial() *wire {
	s.t.Helper()
	at, err := url.Parse(s.url)
	require.NoError(s.t, err)
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", at.Host)
	require.NoError(s.t, err)
	// A server that waits for what never comes fails the test.
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	if at.Scheme == "https" {
		roots := s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
		conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"http/1.1"}})
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return &wire{s.t, conn, bufio.NewReader(conn)}
}

// write sends lines, each with its CRLF. The last one that is empty ends the
// header.
func (w *wire) write(lines ...string) {
	w.t.Helper()
	_, err := io.WriteString(w.conn, strings.Join(lines, "\r\n")+"\r\n")
	require.NoError(w.t, err)
}

// read hears the next response, a 100 Continue as well.
func (w *wire) read() heard { return w.readTo(http.MethodPost) }

// readTo reads the response to a request with that method.
func (w *wire) readTo(method string) heard {
	w.t.Helper()
	response, err := http.ReadResponse(w.in, &http.Request{Method: method})
	require.NoError(w.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	return heard{response.StatusCode, response.Header, string(body)}
}

// exchange sends a whole request on a connection of its own, and hears the
// answer.
func (s *service) exchange(body string, lines ...string) heard {
	s.t.Helper()
	w := s.dial()
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "", body)
	w.write(append([]string{"POST /orders?dry=0 HTTP/1.1", "Host: a.example", "X-User: annabel"}, lines...)...)
	return w.read()
}

// TestHTTPHeaderNameHasNoCase: nor does a key have a protocol or a spelling.
func TestHTTPHeaderNameHasNoCase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveOn(http2, idemhttp.Config{}, f.works)
	const key = "8e03978e-40d5-43dd-bc93-6894a57f9324"
	require.False(t, s.exchange("{}", "idempotency-key: "+key).replayed())
	for _, line := range []string{
		"Idempotency-Key: " + key,
		"IDEMPOTENCY-KEY:" + key,
		"iDeMpOtEnCy-KeY: \t " + key + " \t",
		`Idempotency-Key: "` + key + `"`,
		`idempotency-key: "` + key + `"`,
	} {
		got := s.exchange("{}", line)
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.True(t, got.replayed(), line)
	}
	old := s.dial()
	old.write("POST /orders?dry=0 HTTP/1.0", "X-User: annabel", "Idempotency-Key: "+key, "Content-Length: 2", "", "{}")
	require.True(t, old.read().replayed())
	old.closes()
	for _, other := range []string{strings.ToUpper(key), `" ` + key + `"`, `"` + key + ` "`, `"\"` + key + `\""`} {
		require.False(t, s.exchange("{}", "Idempotency-Key: "+other).replayed(), "%s is another key", other)
	}
	for _, spelled := range []string{key, `"` + key + `"`} {
		r := s.post(spelled, "{}")
		r.Header.Del("Content-Type")
		response, err := s.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, "HTTP/2.0", response.Proto)
		require.Equal(t, http.StatusCreated, response.StatusCode)
		require.Equal(t, "true", response.Header.Get("Idempotency-Replayed"), spelled)
	}
	require.EqualValues(t, 5, s.runs.Load())
}

// TestHTTPKeyIsOneOrRefused: a key that may be read in two ways is never guessed,
// by net/http or by the middleware.
func TestHTTPKeyIsOneOrRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveOn(http2, idemhttp.Config{}, f.works)
	for _, lines := range [][]string{
		{"Idempotency-Key: a", "Idempotency-Key: a"},
		{"Idempotency-Key: a", "idempotency-key: b"},
		{"Idempotency-Key: a", "Idempotency-Key:"},
		{"Idempotency-Key:"},
		{"Idempotency-Key: a, b"},
		{`Idempotency-Key: "a", "b"`},
		{`Idempotency-Key: "a";v=1`},
		{"Idempotency-Key: a;v=1"},
		{"Idempotency-Key: schl\u00fcssel"},
		{"Idempotency-Key: a\tb"},
		{"Idempotency-Key: a\xffb"},
	} {
		s.exchange("{}", lines...).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
	for _, line := range []string{
		"Idempotency-Key : a",
		"Idempotency-Key: a\x00b",
		"Idempotency-Key: a\rb",
		" Idempotency-Key: a", // goes on with the line before it
		"Idempotency-Key\x00: a",
	} {
		require.Equal(t, http.StatusBadRequest, s.exchange("{}", line).status, "%q", line)
	}
	r := s.post("a", "{}")
	r.Header.Add("Idempotency-Key", "b")
	s.send(r).requireProblem(t, http.StatusBadRequest, "key_invalid")
	require.Zero(t, s.runs.Load())
}

// TestHTTPPipelinedRetry: a client that does not wait for the first answer gets
// two, in order.
func TestHTTPPipelinedRetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.works)
	request := []string{"POST /orders HTTP/1.1", "Host: a.example", "X-User: annabel", "Idempotency-Key: pipe", "Content-Length: 5", "", "hello"}
	text := strings.Join(request, "\r\n")
	w := s.dial()
	_, err := io.WriteString(w.conn, text+text+text)
	require.NoError(t, err)
	for i := range 3 {
		got := w.read()
		require.Equal(t, "done", got.body)
		require.Equal(t, i > 0, got.replayed())
	}
	require.Equal(t, 1, f.effects("pipe"))
}

// TestHTTPManyRequestHeaders: net/http has a limit, and what is below it works.
func TestHTTPManyRequestHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveOn(func(srv *httptest.Server) { srv.Config.MaxHeaderBytes = 1 << 16 }, idemhttp.Config{}, f.works)
	headers := func(n int) []string {
		lines := []string{"Idempotency-Key: many"}
		for i := range n {
			lines = append(lines, fmt.Sprintf("X-Trace-%07d: %032d", i, i))
		}
		return lines
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, s.exchange("{}", headers(2000)...).status)
	require.Zero(t, s.runs.Load())
	require.Equal(t, http.StatusCreated, s.exchange("{}", headers(1000)...).status)
	require.True(t, s.exchange("{}", headers(1)...).replayed())
	require.Equal(t, 1, f.effects("many"))
}

// TestHTTPRequestTargets: what a client asks for is what it has sent, in whatever
// form it names the host.
func TestHTTPRequestTargets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.works)
	ask := func(target, host string) heard {
		w := s.dial()
		w.write("POST "+target+" HTTP/1.1", "Host: "+host, "X-User: annabel", "Idempotency-Key: target", "Content-Length: 0", "")
		return w.read()
	}
	require.Equal(t, "done", ask("/orders?dry=0", "a.example").body)
	for _, target := range []string{"/orders?dry=0", "http://b.example/orders?dry=0", "http://x@b.example:8080/orders?dry=0"} {
		require.True(t, ask(target, "b.example").replayed(), target)
	}
	for _, target := range []string{
		"/orders", "/orders?", "/orders?dry=00", "/orders?dry=%30", "/orders?dry=0&", "/orders?dry=0&dry=0", "/orders?Dry=0",
		"/orders/?dry=0", "//orders?dry=0", "/./orders?dry=0", "/%6frders?dry=0", "/%6Frders?dry=0", "/orders%00?dry=0",
		"/Orders?dry=0", "/orders;a?dry=0", "/orders%3Fdry=0", "/payments?dry=0", "http://b.example/payments?dry=0",
	} {
		ask(target, "a.example").requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	}
	require.Equal(t, 1, f.effects("target"))
}
