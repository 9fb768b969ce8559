package idemhttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// outcome is what becomes of an attempt: a response with a status, or an error.
type outcome struct {
	status int
	header map[string]string
	err    error
}

// wire is a Base that has an outcome for each attempt, the last one for all that
// follow, and remembers what it was sent.
type wire struct {
	outcomes []outcome

	mu        sync.Mutex
	attempts  []attempt
	responses []*body
}

// attempt is what a server would have seen.
type attempt struct {
	request *http.Request
	key     string
	body    string
	at      time.Time
}

// body is a response's, and remembers what became of it.
type body struct {
	io.Reader
	read   int
	closed atomic.Bool // by a timer, when reading takes too long
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *body) Close() error { b.closed.Store(true); return nil }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := attempt{request: r, key: r.Header.Get("Idempotency-Key"), at: time.Now()}
	if r.Body != nil {
		sent, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			w.attempts = append(w.attempts, a)
			return nil, errors.New("the wire broke")
		}
		a.body = string(sent)
	}
	o := w.outcomes[min(len(w.attempts), len(w.outcomes)-1)]
	w.attempts = append(w.attempts, a)
	if o.err != nil {
		return nil, o.err
	}
	response := &body{Reader: strings.NewReader("the response")}
	w.responses = append(w.responses, response)
	header := http.Header{}
	for name, value := range o.header {
		header.Set(name, value)
	}
	return &http.Response{StatusCode: o.status, Header: header, Body: response, ContentLength: -1}, nil
}

// answers is a wire with these statuses.
func answers(statuses ...int) *wire {
	w := &wire{}
	for _, status := range statuses {
		w.outcomes = append(w.outcomes, outcome{status: status})
	}
	return w
}

// order is a request that Transport can send again.
func order(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example/orders", strings.NewReader("an order"))
	require.NoError(t, err)
	return r
}

// trip is RoundTrip for tests to which the response is its status.
func trip(transport *idemhttp.Transport, r *http.Request) (status int, err error) {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func quick(base http.RoundTripper) *idemhttp.Transport {
	return &idemhttp.Transport{Base: base, MinWait: time.Nanosecond}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
