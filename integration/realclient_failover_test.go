package integration

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// requireOneOrder requires that the answer is that to the order with key, and
// that it is the only order, whoever asks for it.
func (s *ordersService) requireOneOrder(t ordersTest, key string, got ordersAnswer) {
	t.Helper()
	require.Equal(t, http.StatusCreated, got.status, got.body)
	again := s.order("demo", key, "lamp", 1)
	require.True(t, again.replayed, again.body)
	require.Equal(t, got.first(), again.first())
	require.Equal(t, 1, s.placed())
	require.JSONEq(t, `{"sku":"lamp","available":9}`, s.get("/stock/lamp", "").body)
}

// nginxLosesAnAnswer: the first server has committed when it is cut off, and the
// second knows.
func (t ordersTest) nginxLosesAnAnswer() {
	s := t.serve()
	first := newCutter(t.T, s.url, 1)
	n := t.nginx(failover(first.url, s.another(t, "").url), resends)
	got := s.at(n.url).order("demo", "key", "lamp", 1)
	require.True(t, got.replayed, got.body)
	require.EqualValues(t, 1, first.answers.Load())
	s.at(n.url).requireOneOrder(t, "key", got)
	require.EqualValues(t, 3, first.answers.Load(), "and the first server answers again")
}

// nginxLosesAProcess that kills itself before or after its commit.
func (t ordersTest) nginxLosesAProcess() {
	for crash, replayed := range map[string]bool{"after the write": false, "after the commit": true} {
		s := t.serve()
		first := s.another(t, crash)
		n := t.nginx(failover(first.url, s.url), resends)
		got := s.at(n.url).order("demo", "key", "lamp", 1)
		first.wait(t)
		require.Equal(t, -1, first.cmd.ProcessState.ExitCode(), "it was killed")
		require.Equal(t, replayed, got.replayed, crash)
		s.at(n.url).requireOneOrder(t, "key", got)
	}
}

// nginxLosesItsPatience with a server that waits for a lamp, and asks another.
//
//	test:    holds the lamps
//	first:   UPDATE     waits ── nginx hangs up, which undoes it
//	second:  UPDATE     waits ── the test sees that the order has come there
//	test:    lets go
//	second:  commits, or nginx has hung up on it too, and the client sends it again
func (t ordersTest) nginxLosesItsPatience() {
	s := t.serve()
	first, second := newCutter(t.T, s.url), newCutter(t.T, s.another(t, "").url)
	n := t.nginx(failover(first.url, second.url), resends+"proxy_read_timeout 500ms;")
	shelf, err := newPool(t.T).Begin(t.Context())
	require.NoError(t, err)
	_, err = shelf.Exec(t.Context(), "SELECT FROM "+s.schema+".stock WHERE sku = 'lamp' FOR UPDATE")
	require.NoError(t, err)

	answers := make(chan ordersAnswer, 1)
	go func() {
		defer close(answers)
		for range 60 {
			got := s.at(n.url).order("demo", "key", "lamp", 1)
			if got.status != http.StatusGatewayTimeout {
				answers <- got
				return
			}
		}
	}()
	require.Eventually(t, func() bool { return second.links.Load() > 0 }, time.Minute, 5*time.Millisecond)
	require.NoError(t, shelf.Rollback(t.Context()))
	s.at(n.url).requireOneOrder(t, "key", <-answers)
}

// nginxByItsDefaults sends no POST again that a server may have seen. The client
// does, and hears what has happened.
func (t ordersTest) nginxByItsDefaults() {
	s := t.serve()
	first := newCutter(t.T, s.url, 1)
	n := t.nginx(failover(first.url, s.another(t, "").url), "")
	lost := s.at(n.url).order("demo", "key", "lamp", 1)
	require.Equal(t, http.StatusBadGateway, lost.status)
	require.Equal(t, 1, s.placed())
	got := s.at(n.url).order("demo", "key", "lamp", 1)
	require.True(t, got.replayed, got.body)
	s.at(n.url).requireOneOrder(t, "key", got)
}

// nginxSpreadsAStorm over two processes, one of which is cut off again and again.
func (t ordersTest) nginxSpreadsAStorm() {
	s := t.serve()
	first := newCutter(t.T, s.url, 1, 2, 4, 7, 8)
	n := t.nginx(spread(first.url, s.another(t, "").url), resends)
	answers := make([]ordersAnswer, 30)
	var senders sync.WaitGroup
	for i := range answers {
		senders.Go(func() { answers[i] = s.at(n.url).order("demo", "key", "lamp", 1) })
	}
	senders.Wait()
	for _, got := range answers {
		require.Equal(t, answers[0].first(), got.first())
	}
	require.Greater(t, first.answers.Load(), int64(8), "it was cut off so often")
	s.at(n.url).requireOneOrder(t, "key", answers[0])
}

// nginxPassesTheKey as it is, in both spellings. A header with an underscore in
// its name is another one, which nginx drops.
func (t ordersTest) nginxPassesTheKey() {
	s := t.serve()
	n := s.at(t.nginx(spread(s.url, s.another(t, "").url), resends).url)
	n.requireOneOrder(t, "8e03978e-40d5", n.order("demo", `"8e03978e-40d5"`, "lamp", 1))
	for _, to := range []*ordersService{n, s} {
		got := to.send(http.MethodPost, to.url+"/orders", lampOrder,
			map[string]string{"Authorization": bearer("demo"), "Idempotency_Key": "8e03978e-40d5"})
		require.Equal(t, http.StatusBadRequest, got.status, got.body)
		require.Contains(t, got.body, "key_missing")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/orders", strings.NewReader(lampOrder))
	require.NoError(t, err)
	request.Header = http.Header{"Authorization": {bearer("demo")}, "Idempotency-Key": {"8e03978e-40d5", "another"}}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Equal(t, 1, s.placed())
}

// nginxTakesTheBody before it asks a server: it answers Expect by itself, and
// what came in chunks goes on in one piece. So it can send it twice.
func (t ordersTest) nginxTakesTheBody() {
	c, s := newCurl(t.T), t.serve()
	first := newCutter(t.T, s.url, 1)
	n := s.at(t.nginx(failover(first.url, s.another(t, "").url), resends).url)
	got := c.order(n, "key", "--header", "Transfer-Encoding: chunked", "--header", "Expect: 100-continue")
	require.True(t, got.replayed, got.body)
	n.requireOneOrder(t, "key", got)

	refused, uploaded := c.run("--header", asDemo, "--header", "Expect: 100-continue", "--data", lampOrder, n.url+"/orders")
	require.Equal(t, http.StatusBadRequest, refused.status)
	require.Contains(t, refused.body, "key_missing")
	require.Equal(t, len(lampOrder), uploaded, "nobody had looked at the request by then")
	require.Equal(t, 1, s.placed())
}
