package idemhttp_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// shop is a server of net/http, and what it has been sent.
type shop struct {
	*httptest.Server
	connections atomic.Int64

	mu       sync.Mutex
	keys     []string
	trailers []string
}

// answering serves with handle, which is told the number of the request.
func answering(t *testing.T, handle func(w http.ResponseWriter, n int)) *shop {
	t.Helper()
	s := &shop{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		s.trailers = append(s.trailers, r.Trailer.Get("X-Sum"))
		n := len(s.keys)
		s.mu.Unlock()
		handle(w, n)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s
}

// client is one of the shop's, with a Transport around its own.
func (s *shop) client(change func(*idemhttp.Transport)) *http.Client {
	client := s.Client()
	transport := quick(client.Transport)
	if change != nil {
		change(transport)
	}
	client.Transport = transport
	return client
}

// buy posts an order and returns the status.
func (s *shop) buy(t *testing.T, client *http.Client) int {
	t.Helper()
	response, err := client.Post(s.URL, "text/plain", strings.NewReader("an order"))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// TestTransportIsNotHeldByATrickle: the end of a response that is thrown away is
// not waited for.
func TestTransportIsNotHeldByATrickle(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	s := answering(t, func(w http.ResponseWriter, n int) {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "sorry")
			_ = http.NewResponseController(w).Flush()
			<-end
		}
	})
	defer close(end)
	s.Start()
	require.Equal(t, 200, s.buy(t, s.client(nil)))
	require.Len(t, s.keys, 2)
}

// TestTransportUsesAConnectionAgain, unless the rest of a response takes too long, as it
// may once in a while on a busy machine.
func TestTransportUsesAConnectionAgain(t *testing.T) {
	t.Parallel()
	for again := 3; ; again-- {
		s := answering(t, func(w http.ResponseWriter, n int) {
			if n < 4 {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			}
		})
		s.Start()
		require.Equal(t, 200, s.buy(t, s.client(nil)))
		require.Len(t, s.keys, 4)
		if s.connections.Load() == 1 {
			return
		}
		require.NotZero(t, again, "each time there was another connection")
	}
}

func TestTransportRetriesAConnectionThatDies(t *testing.T) {
	t.Parallel()
	s := answering(t, func(_ http.ResponseWriter, n int) {
		if n < 3 {
			panic(http.ErrAbortHandler)
		}
	})
	s.Start()
	require.Equal(t, 200, s.buy(t, s.client(nil)))
	require.Len(t, s.keys, 3)
	require.Equal(t, []string{s.keys[0], s.keys[0], s.keys[0]}, s.keys)
}

// TestTransportOfNetHTTPRetriesToo: a kept connection that dies is not an attempt
// of ours, because net/http sees the key.
func TestTransportOfNetHTTPRetriesToo(t *testing.T) {
	t.Parallel()
	s := answering(t, func(_ http.ResponseWriter, n int) {
		if n == 2 {
			panic(http.ErrAbortHandler)
		}
	})
	s.Start()
	client := s.client(func(t *idemhttp.Transport) { t.MaxAttempts = 1 })
	require.Equal(t, 200, s.buy(t, client))
	require.Equal(t, 200, s.buy(t, client))
	require.Len(t, s.keys, 3)
	require.NotEqual(t, s.keys[0], s.keys[1])
	require.Equal(t, s.keys[1], s.keys[2])
}

func TestTransportSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	s := answering(t, func(w http.ResponseWriter, n int) {
		switch n {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s.EnableHTTP2 = true
	s.StartTLS()
	require.Equal(t, 200, s.buy(t, s.client(nil)))
	require.Equal(t, []string{s.keys[0], s.keys[0], s.keys[0]}, s.keys)
}

// counted is a Base that counts attempts.
type counted struct {
	http.RoundTripper
	attempts int
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.attempts++
	return c.RoundTripper.RoundTrip(r)
}

func TestTransportDoesNotRetryAnUntrustedServer(t *testing.T) {
	t.Parallel()
	s := answering(t, func(http.ResponseWriter, int) {})
	s.StartTLS()
	base := &counted{RoundTripper: &http.Transport{}}
	_, err := trip(quick(base), toShop(t, s.URL, nil))
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, err, &untrusted)
	require.Equal(t, 1, base.attempts)
}

func TestTransportDoesNotRetryAServerWithoutTLS(t *testing.T) {
	t.Parallel()
	s := answering(t, func(http.ResponseWriter, int) {})
	s.Start()
	base := &counted{RoundTripper: &http.Transport{}}
	client := &http.Client{Transport: quick(base)}
	response, err := client.Do(toShop(t, strings.Replace(s.URL, "http", "https", 1), nil))
	if err == nil {
		defer response.Body.Close()
	}
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	require.Equal(t, 1, base.attempts)
}

func toShop(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	require.NoError(t, err)
	return r
}

// TestTransportDoesNotRetryABodyThatFailsOnTheWay: net/http returns the body's
// error as if it were its own.
func TestTransportDoesNotRetryABodyThatFailsOnTheWay(t *testing.T) {
	t.Parallel()
	s := answering(t, func(http.ResponseWriter, int) {})
	s.Start()
	base := &counted{RoundTripper: s.Client().Transport}
	r := toShop(t, s.URL, nil)
	r.Body = &failing{err: io.ErrUnexpectedEOF}
	r.ContentLength = -1
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("an order")), nil }
	_, err := trip(quick(base), r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 1, base.attempts)
}

// summing is a body whose sum is known when it ends, and is sent as a trailer.
type summing struct {
	io.Reader
	trailer http.Header
}

func (b *summing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.trailer.Set("X-Sum", "42")
	}
	return n, err
}

func (b *summing) Close() error { return nil }

func TestTransportSendsTrailers(t *testing.T) {
	t.Parallel()
	s := answering(t, func(w http.ResponseWriter, n int) {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s.Start()
	r := toShop(t, s.URL, nil)
	r.Trailer = http.Header{"X-Sum": nil}
	r.ContentLength = -1
	r.GetBody = func() (io.ReadCloser, error) { return &summing{strings.NewReader("an order"), r.Trailer}, nil }
	r.Body, _ = r.GetBody()
	status, err := trip(quick(s.Client().Transport), r)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Equal(t, []string{"42", "42"}, s.trailers)
}

// TestTransportRedirects: the client follows with a request of its own.
func TestTransportRedirects(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "mine"} {
		s := answering(t, func(w http.ResponseWriter, n int) {
			if n%2 == 1 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
		s.Start()
		r := toShop(t, s.URL, strings.NewReader("an order"))
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		response, err := s.client(nil).Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Len(t, s.keys, 2)
		if key == "" {
			require.NotEqual(t, s.keys[0], s.keys[1])
		} else {
			require.Equal(t, []string{key, key}, s.keys)
		}
	}
}
