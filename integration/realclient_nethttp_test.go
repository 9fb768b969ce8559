package integration

import (
	"io"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// netHTTPReusesAConnection: on a connection that has worked before, net/http
// sends a request with an Idempotency-Key again by itself.
func (t ordersTest) netHTTPReusesAConnection() {
	s := t.serve()
	cut := newCutter(t.T, s.url, 2)
	client := s.at(cut.url)
	require.Equal(t, http.StatusOK, client.get("/stock/lamp", "").status)
	got := client.order("demo", "key", "lamp", 1)
	require.True(t, got.replayed, got.body)
	require.EqualValues(t, 3, cut.answers.Load())
	s.requireOneOrder(t, "key", got)
}

// transportTriesAgain where net/http does not: on its first connection.
func (t ordersTest) transportTriesAgain() {
	s := t.serve()
	cut := newCutter(t.T, s.url, 1)
	got, key := t.orderThroughTransport(cut.url)
	require.True(t, got.replayed, got.body)
	require.EqualValues(t, 2, cut.answers.Load())
	s.requireOneOrder(t, key, got)
}

// transportOutlivesAProcess behind an nginx that leaves it to the client to send
// a POST again: the order is committed when the process is killed, and another
// one answers.
func (t ordersTest) transportOutlivesAProcess() {
	s := t.serve()
	first := s.another(t, "after the commit")
	n := t.nginx(failover(first.url, s.url), "")
	got, key := t.orderThroughTransport(n.url)
	require.True(t, got.replayed, got.body)
	first.wait(t)
	s.requireOneOrder(t, key, got)
}

// orderThroughTransport orders a lamp as a client that cares for nothing.
func (t ordersTest) orderThroughTransport(url string) (got ordersAnswer, key string) {
	t.Helper()
	client := &http.Client{Transport: &idemhttp.Transport{}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/orders", strings.NewReader(lampOrder))
	require.NoError(t, err)
	r.Header.Set("Authorization", bearer("demo"))
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return ordersAnswer{
		status:      response.StatusCode,
		contentType: response.Header.Get("Content-Type"),
		body:        string(body),
		replayed:    response.Header.Get("Idempotency-Replayed") == "true",
	}, response.Request.Header.Get("Idempotency-Key")
}
