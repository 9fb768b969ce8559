package integration

import (
	"io"
	"net/http"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOrders runs examples/orders as its users do: as a program.
func TestOrders(t *testing.T) {
	t.Parallel()
	program := buildOrders(t)
	for name, test := range map[string]func(ordersTest){
		"CurlLines":             ordersTest.curlLines,
		"SoldOutIsKept":         ordersTest.soldOut,
		"UnknownSKUIsForgotten": ordersTest.unknownSKU,
		"AccountsAreApart":      ordersTest.accounts,
		"BadRequests":           ordersTest.badRequests,
		"InterruptIsClean":      ordersTest.interrupt,
		"PagesAreForOperators":  ordersTest.pages,
		"Demo":                  ordersTest.demo,
		"DemoInterrupted":       ordersTest.demoInterrupted,
		"DemoKilled":            ordersTest.demoKilled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(ordersTest{t, program})
		})
	}
}

// curlLines does what the service's first screen says.
func (t ordersTest) curlLines() {
	s := t.serve()
	require.Len(t, s.curl, 3)
	require.Equal(t, s.curl[0], s.curl[1], "the same order again")

	first, again, stock := s.run(s.curl[0]), s.run(s.curl[1]), s.run(s.curl[2])
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.False(t, first.replayed)
	require.Regexp(t, `^{"id":1,"customer":"ada","sku":"lamp","quantity":2,"placed_at":".+Z"}\n$`, first.body)
	require.True(t, again.replayed)
	require.Equal(t, first, again.first())
	require.JSONEq(t, `{"sku":"lamp","available":8}`, stock.body)
	require.Equal(t, "["+strings.TrimSpace(first.body)+"]\n", s.get("/orders", "demo").body)

	if _, err := osexec.LookPath("curl"); err != nil {
		return // its lines have been run above all the same
	}
	for i, want := range []ordersAnswer{again, again, stock} {
		out, err := osexec.Command("sh", "-c", s.curl[i]).Output()
		require.NoError(t, err, s.curl[i])
		require.Contains(t, string(out), "\r\n\r\n"+want.body)
		require.Equal(t, want.replayed, strings.Contains(string(out), "\r\nIdempotency-Replayed: true\r\n"), "%s", out)
	}
}

// pages counts what was ordered, for who has a login.
func (t ordersTest) pages() {
	s := t.serve()
	require.Equal(t, http.StatusCreated, s.order("demo", "key of the lamps", "lamp", 2).status)
	require.True(t, s.order("demo", "key of the lamps", "lamp", 2).replayed)
	url := s.pages[strings.Index(s.pages, "http://"):]
	require.Equal(t, s.url+"/admin/keys/", url)
	for name, status := range map[string]int{"operator": http.StatusOK, "demo": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		if name != "" {
			r.SetBasicAuth(name, "any")
		}
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		page, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, status, response.StatusCode, name)
		require.NotContains(t, string(page), "key of the")
		if status == http.StatusOK {
			require.Contains(t, string(page), "replayed")
		}
	}
}

// soldOut fills the shelf before the retry: who was told that there
// are no chairs left must not get any by asking again.
func (t ordersTest) soldOut() {
	s := t.serve()
	first := s.order("demo", "key of the chairs", "chair", 4)
	require.Equal(t, http.StatusConflict, first.status, first.body)
	require.Contains(t, first.body, "Sold out")
	require.False(t, first.replayed)
	require.JSONEq(t, `{"sku":"chair","available":3}`, s.get("/stock/chair", "").body)

	exec(t.T, "UPDATE "+s.schema+".stock SET available = 50 WHERE sku = 'chair'")
	again := s.order("demo", "key of the chairs", "chair", 4)
	require.True(t, again.replayed)
	require.Equal(t, first, again.first())
	require.JSONEq(t, `{"sku":"chair","available":50}`, s.get("/stock/chair", "").body)
	require.Equal(t, "[]\n", s.get("/orders", "demo").body)

	require.Equal(t, http.StatusCreated, s.order("demo", "another key", "chair", 4).status)
	require.JSONEq(t, `{"sku":"chair","available":46}`, s.get("/stock/chair", "").body)
	require.Equal(t, http.StatusConflict, s.order("demo", "key of the unicorn", "unicorn", 1).status)
}

func (t ordersTest) unknownSKU() {
	s := t.serve()
	require.Equal(t, http.StatusNotFound, s.order("demo", "key", "desk", 1).status)
	require.Equal(t, http.StatusNotFound, s.get("/stock/desk", "").status)
	require.Equal(t, http.StatusNotFound, s.get("/stock/%00", "").status)

	exec(t.T, "INSERT INTO "+s.schema+".stock VALUES ('desk', 1)")
	placed := s.order("demo", "key", "desk", 1)
	require.Equal(t, http.StatusCreated, placed.status, placed.body)
	require.False(t, placed.replayed)
}

func (t ordersTest) accounts() {
	s := t.serve()
	one, two := s.order("one", "key", "lamp", 1), s.order("two", "key", "lamp", 1)
	require.Equal(t, http.StatusCreated, one.status, one.body)
	require.Equal(t, http.StatusCreated, two.status, two.body)
	require.False(t, two.replayed, "a key of one account is not the other's")
	require.Equal(t, "["+strings.TrimSpace(two.body)+"]\n", s.get("/orders", "two").body)
	require.Equal(t, http.StatusUnauthorized, s.get("/orders", "").status)
	require.Equal(t, http.StatusUnauthorized, s.order("", "key", "lamp", 1).status)
}

func (t ordersTest) badRequests() {
	s := t.serve()
	for _, quantity := range []int{-1, 0, 101} {
		bad := s.order("demo", "key", "lamp", quantity)
		require.Equal(t, http.StatusBadRequest, bad.status, bad.body)
		require.Equal(t, "application/problem+json", bad.contentType)
		require.Contains(t, bad.body, "between 1 and 100")
	}
	require.Equal(t, http.StatusBadRequest, s.order("demo", "", "lamp", 1).status, "without a key")
	long := s.order("demo", "key", strings.Repeat("lamp", 2000), 1)
	require.Equal(t, http.StatusRequestEntityTooLarge, long.status, long.body)
	require.Equal(t, http.StatusCreated, s.order("demo", "key", "lamp", 10).status, "no refusal has used the key up")
	require.JSONEq(t, `{"sku":"lamp","available":0}`, s.get("/stock/lamp", "").body)
}

// interrupt interrupts the service while an order waits for its lamp.
func (t ordersTest) interrupt() {
	s := t.serve()
	shelf, err := newPool(t.T).Begin(t.Context())
	require.NoError(t, err)
	_, err = shelf.Exec(t.Context(), "SELECT FROM "+s.schema+".stock WHERE sku = 'lamp' FOR UPDATE")
	require.NoError(t, err)

	placed := make(chan ordersAnswer, 1)
	go func() {
		defer close(placed)
		placed <- s.order("demo", "key", "lamp", 1)
	}()
	require.Eventually(t, func() bool {
		return ask[int](t.T, `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE "' || $1 || '"%'`, s.schema) == 1
	}, time.Minute, 5*time.Millisecond)

	require.NoError(t, s.interrupt())
	require.Equal(t, []string{"", "orders: stopping"}, s.lines(2))
	require.NoError(t, shelf.Rollback(t.Context()))
	require.Equal(t, http.StatusCreated, (<-placed).status, "what has begun is finished")
	require.NoError(t, s.wait(), s.stderr)
	requireNoSchema(t.T, s.schema)
}

func (t ordersTest) demo() {
	demo := t.start("-demo")
	out, err := io.ReadAll(demo.stdout)
	require.NoError(t, err)
	require.NoError(t, demo.wait(), "%s%s", out, demo.stderr)
	require.Equal(t, `Each line is one order, sent again and again with the same key.

                                            requests sent  orders that exist  mails sent  replies that agree  expected
co-transaction
  100 times at once                                   100                  1           1          100 of 100  1 order, 1 mail
  killed between its write and its commit               3                  1           1              2 of 2  1 order, 1 mail
  killed between its commit and its answer              3                  1           1              2 of 2  1 order, 1 mail
pool mode
  100 times at once                                   100                  1           1          100 of 100  1 order, 1 mail
  killed between its write and its commit               3                  1           1              2 of 2  1 order, 1 mail
  killed between its commit and its answer              3                  2           1              2 of 2  2 orders, 1 mail

Every count is right. The co-transaction commits an order, the job to mail its
confirmation and its reply together: there is nothing in between that a crash could
hit. Pool mode commits the reply later, and the crash in between has placed the order
twice. Both orders' mails have the request's key, and the provider has sent the first.
`, string(out))
	requireNoSchema(t.T, demo.schema)
}

// busy returns when the demo has placed an order, so that it has children.
func (o *orders) busy() {
	o.t.Helper()
	require.Eventually(o.t, func() bool {
		return ask[int](o.t, "SELECT count(*) FROM "+o.schema+".orders") > 0
	}, time.Minute, 5*time.Millisecond, o.stderr)
}

func (t ordersTest) demoInterrupted() {
	demo := t.start("-demo")
	demo.busy()
	require.NoError(t, demo.interrupt())
	require.Error(t, demo.wait())
	require.Equal(t, 1, demo.cmd.ProcessState.ExitCode(), demo.stderr)
	require.Contains(t, demo.stderr.String(), "orders: interrupted\n")
	requireNoSchema(t.T, demo.schema)
}

func (t ordersTest) demoKilled() {
	demo := t.start("-demo")
	demo.busy()
	require.NoError(t, demo.cmd.Process.Kill())
	require.Error(t, demo.wait())
	exec(t.T, "DROP SCHEMA "+demo.schema+" CASCADE") // which the demo could not
}
