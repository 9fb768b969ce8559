package pressure

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ending is a way in which the context of a call ends: when the test says so.
type ending struct {
	name string
	err  error // what the context says then

	// begin returns a context and what ends it. The end has come when that returns.
	begin func(t *testing.T) (ctx context.Context, end func())
}

var endings = []ending{
	{"cancel", context.Canceled, func(t *testing.T) (context.Context, func()) {
		t.Helper()
		return context.WithCancel(t.Context())
	}},
	{"deadline", context.DeadlineExceeded, func(t *testing.T) (context.Context, func()) {
		t.Helper()
		d := foreign(t)
		return d, sync.OnceFunc(func() { close(d.passed) })
	}},
	{"server closed", context.Canceled, servedContext},
}

// foreign is a context whose deadline does not pass, but for a test that says so.
// What is made of it and not given up again leaves a goroutine behind, as it does
// with each context that is not of the package context.
func foreign(t *testing.T) *deadline {
	t.Helper()
	return &deadline{Context: t.Context(), passed: make(chan struct{})}
}

// deadline is a context whose deadline passes at an event, and at no time.
type deadline struct {
	context.Context
	passed chan struct{}
}

func (d *deadline) Done() <-chan struct{} { return d.passed }

func (d *deadline) Err() error {
	select {
	case <-d.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// servedContext is that of a request to a server, which goes away with all of its
// connections.
func servedContext(t *testing.T) (context.Context, func()) {
	t.Helper()
	contexts, answered := make(chan context.Context, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		contexts <- r.Context()
		<-answered
	}))
	var client sync.WaitGroup
	client.Go(func() {
		transport := &http.Transport{DisableKeepAlives: true}
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, s.URL, http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		if response, err := transport.RoundTrip(r); err == nil {
			response.Body.Close()
			t.Error("the server has answered")
		}
	})
	ctx := receive(t, "the request is there", contexts)
	require.NoError(t, ctx.Err())
	return ctx, sync.OnceFunc(func() {
		_ = s.Config.Close()
		<-ctx.Done()
		close(answered)
		client.Wait()
		s.Close()
	})
}

// noticed is a context that tells when somebody begins to wait for its end.
type noticed struct {
	context.Context
	once sync.Once
	seen chan struct{}
}

func notice(ctx context.Context) *noticed { return &noticed{Context: ctx, seen: make(chan struct{})} }

func (n *noticed) Done() <-chan struct{} {
	n.once.Do(func() { close(n.seen) })
	return n.Context.Done()
}
