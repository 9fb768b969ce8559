package interop

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// exchange is one request in a handler, by the means of its framework.
type exchange interface {
	Context() context.Context
	Param() string // the order's number, from the path
	Query(name string) string
	Body() (string, error)

	SetHeader(name, value string)
	Reply(status int, body string) error
	Flush(body string)                    // tries to send a part at once
	Fail(status int, detail string) error // as the framework's users do

	Set(name string, value any)
	Get(name string) any
	Used() bool // by a run that was undone
}

type handler func(exchange) error

// router is one way to have a handler protected. Its routes are GET and POST
// /shop/orders/{id}, a recovery is around the protection, and middleware sets
// outerHeader around it and the value user to annabel.
type router struct {
	name  string
	serve func(t *testing.T, p *idemhttp.Protection, handle handler) (url string)
}

// outerHeader is what is set before the protection does anything.
func outerHeader(try string) map[string]string {
	return map[string]string{"X-Outer": try, "X-Both": "outer", "Vary": "Origin"}
}

var routers = []router{
	{"net/http", serveNetHTTP},
	{"chi With", serveChiWith},
	{"chi Use", serveChiUse},
	{"chi whole", serveChiWhole},
	{"echo handler", serveEcho},
	{"echo whole", serveEchoWhole},
	{"gin handler", serveGin},
	{"gin whole", serveGinWhole},
	{"fiber handler", serveFiber},
	{"fiber net/http", serveFiberHTTP},
}

func TestContract(t *testing.T) {
	t.Parallel()
	promises := map[string]func(*testing.T, router){
		"a retry gets the reply to the first":  replays,
		"an empty reply is one":                repliesNothing,
		"the handler gets the request":         getsTheRequest,
		"another body is a mismatch":           refusesAnotherBody,
		"a key is asked for":                   asksForAKey,
		"other methods pass":                   passes,
		"an error is what the client gets":     failsAsAlways,
		"an error can be kept":                 keepsErrors,
		"an error that says no status is none": failsWithoutStatus,
		"a run that was undone leaves nothing": runsAgain,
		"a panic undoes":                       recovers,
		"nothing is sent before the commit":    holdsBack,
		"many at once have one effect":         runsOnce,
		"two keys are none":                    refusesTwoKeys,
	}
	for _, r := range routers {
		for promise, keeps := range promises {
			t.Run(r.name+"/"+promise, func(t *testing.T) {
				t.Parallel()
				keeps(t, r)
			})
		}
	}
}

func replays(t *testing.T, r router) {
	f := newFixture(t)
	const reply = "%PDF-1.7\r\n\x00\xff"
	var runs atomic.Int64
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		runs.Add(1)
		if err := f.effect(x.Context(), "replay"); err != nil {
			return err
		}
		x.SetHeader("Location", "/orders/17")
		x.SetHeader("Set-Cookie", "session=secret")
		x.SetHeader("Content-Type", "application/pdf")
		x.SetHeader("X-Both", "inner")
		x.SetHeader("Vary", "Accept")
		return x.Reply(http.StatusCreated, reply)
	})
	attempt := post(t, url, "replay", `{"a": 1, "b": [2]}`)
	attempt.Header.Set("X-Try", "1")
	first := send(t, attempt)
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.Equal(t, reply, first.body)
	require.Equal(t, "/orders/17", first.header.Get("Location"))
	require.Equal(t, []string{"application/pdf"}, first.header.Values("Content-Type"))
	require.Equal(t, "session=secret", first.header.Get("Set-Cookie"))
	require.Equal(t, []string{"1"}, first.header.Values("X-Outer"))
	require.Equal(t, []string{"inner"}, first.header.Values("X-Both"))
	require.Equal(t, []string{"Origin", "Accept"}, first.header.Values("Vary"))
	require.NotEmpty(t, first.header.Get("Idempotency-Expires"))
	require.False(t, first.replayed())

	attempt = post(t, url, "replay", `{"b":[2], "a":1e0}`)
	attempt.Header.Set("X-Try", "2")
	second := send(t, attempt)
	require.True(t, second.replayed())
	first.header.Del("Set-Cookie")
	first.header.Set("X-Outer", "2")
	for _, header := range []http.Header{first.header, second.header} {
		header.Del("Date")
		header.Del("Idempotency-Replayed")
	}
	require.Equal(t, first, second)
	require.EqualValues(t, 1, runs.Load())
	require.Equal(t, 1, f.effects())
}

func repliesNothing(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error { return f.effect(x.Context(), "nothing") })
	for i := range 2 {
		got := send(t, post(t, url, "nothing", "{}"))
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Empty(t, got.body)
		require.NotContains(t, got.header, "Content-Type")
		require.Equal(t, "0", got.header.Get("Content-Length"))
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects())
}

func getsTheRequest(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		assert.Equal(t, "17", x.Param())
		assert.Equal(t, "no", x.Query("dry"))
		body, err := x.Body()
		if err != nil {
			return err
		}
		assert.Equal(t, `{"a": 1}`, body)
		assert.NotNil(t, idemhttp.Tx(x.Context()))
		assert.Equal(t, "annabel", x.Get("user"))
		return x.Reply(http.StatusOK, "heard")
	})
	require.Equal(t, "heard", send(t, post(t, url, "request", `{"a": 1}`)).body)
}

func refusesAnotherBody(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), f.creating("mismatch"))
	require.Equal(t, http.StatusCreated, send(t, post(t, url, "mismatch", `{"a": 1}`)).status)
	got := send(t, post(t, url, "mismatch", `{"a": 2}`))
	require.Equal(t, http.StatusUnprocessableEntity, got.status, got.body)
	require.Equal(t, []string{"application/problem+json"}, got.header.Values("Content-Type"))
	require.Equal(t, 1, f.effects())
}

func asksForAKey(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), f.creating("missing"))
	require.Equal(t, http.StatusBadRequest, send(t, post(t, url, "", "{}")).status)
	require.Zero(t, f.effects())
}

func passes(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		assert.Nil(t, idemhttp.Tx(x.Context()))
		if x.Query("dry") == "no" && x.Param() == "17" {
			return x.Reply(http.StatusOK, "passed")
		}
		return x.Fail(http.StatusNotFound, "lost")
	})
	for range 2 {
		got := send(t, request(t, http.MethodGet, url, "key", ""))
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Equal(t, "passed", got.body)
		require.False(t, got.replayed())
	}
	require.Zero(t, f.replies())
}

func runsOnce(t *testing.T, r router) {
	f := newFixture(t)
	var runs atomic.Int64
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		runs.Add(1)
		return f.creating("storm")(x)
	})
	answers := make([]heard, 20)
	errs := make([]error, len(answers))
	var senders sync.WaitGroup
	for i := range answers {
		r := post(t, url, "storm", `{"a": 1}`)
		senders.Go(func() { answers[i], errs[i] = try(r) })
	}
	senders.Wait()
	replayed := 0
	for i, got := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, "created", got.body)
		if got.replayed() {
			replayed++
		}
	}
	require.Equal(t, len(answers)-1, replayed)
	require.EqualValues(t, 1, runs.Load())
	require.Equal(t, 1, f.effects())
}

func refusesTwoKeys(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), f.creating("two"))
	two := post(t, url, "two", "{}")
	two.Header.Add("Idempotency-Key", "keys")
	require.Equal(t, http.StatusBadRequest, send(t, two).status)
	require.Zero(t, f.effects())
}

// creating has the effect and says so.
func (f *fixture) creating(key string) handler {
	return func(x exchange) error {
		if err := f.effect(x.Context(), key); err != nil {
			return err
		}
		return x.Reply(http.StatusCreated, "created")
	}
}
