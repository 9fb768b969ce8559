package devpg

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// fakeEngine is a client of an engine that answers with respond.
func fakeEngine(t *testing.T, respond roundTripper) *client.Client {
	t.Helper()
	cli, err := client.New(client.WithHTTPClient(&http.Client{Transport: respond}), client.WithAPIVersion("1.44"))
	require.NoError(t, err)
	return cli
}

func TestRegistryThatSwallowsEverythingCostsSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cli := fakeEngine(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		err := pull(t.Context(), cli, "postgres:17-alpine")
		require.ErrorIs(t, err, errSilent)
		require.Equal(t, firstWord, time.Since(began))
	})
}

func TestPullThatProgressesIsNotCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		cli := fakeEngine(t, slowly(200, nextWord-time.Second))
		require.NoError(t, pull(t.Context(), cli, "postgres:17-alpine"))
		require.Greater(t, time.Since(began), time.Hour)
	})
}

func TestPullThatStallsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cli := fakeEngine(t, slowly(2, nextWord+time.Second))
		require.ErrorIs(t, pull(t.Context(), cli, "postgres:17-alpine"), errSilent)
	})
}

func TestPullReportsTheRegistrysRefusal(t *testing.T) {
	t.Parallel()
	cli := fakeEngine(t, func(*http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, `{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`)
			_ = w.Close()
		}()
		return reply(body), nil
	})
	require.ErrorContains(t, pull(t.Context(), cli, "postgres:17-alpine"), "manifest unknown")
}

func TestCancelledPullSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cli := fakeEngine(t, func(r *http.Request) (*http.Response, error) {
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	require.ErrorIs(t, pull(ctx, cli, "postgres:17-alpine"), context.Canceled)
}

// slowly reports progress n times, pause apart, and is done.
func slowly(n int, pause time.Duration) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			for range n {
				_, _ = io.WriteString(w, `{"status":"Downloading"}`+"\n")
				select {
				case <-r.Context().Done(): // as a connection ends
					_ = w.CloseWithError(r.Context().Err())
					return
				case <-time.After(pause): // by the bubble's clock
				}
			}
			_ = w.Close()
		}()
		return reply(body), nil
	}
}

func reply(body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}
}
