package integration

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

var clientRules = []rule{
	{
		"2.1", must, "the key is sent as a String", byDefault,
		"in quotes; `Transport.Raw` is for servers that want it otherwise.", clientQuotes,
	},
	{
		"2.2", must, "a key is unique", byDefault,
		"each call of the transport has a new one, and two equal orders are two.", clientKeysAreUnique,
	},
	{
		"2.2", must, "a key is not sent again with another payload", byDefault,
		"a retry has the key and the body of the first attempt, and what cannot be repeated is sent once.", clientRepeatsExactly,
	},
	{
		"2.2", recommended, "a key is a UUID or a similar random string", byDefault,
		"a UUID of version 4.", clientKeysAreRandom,
	},
	{
		"2.5.1", should, "keys are made as the server asks for them", bySetting,
		"`Transport.NewKey`.", clientMakesKeysToOrder,
	},
	{
		"2.5.1", should, "each request has a key", byDefault,
		"each POST and PATCH, or `Transport.Methods`.", clientSendsKeys,
	},
	{
		"2.5.1", may, "a key may be sent to any server, with any valid value", byDefault,
		"the caller's own is sent as it is.", clientKeepsKeys,
	},
	{
		"2.7", must, "a request that failed is not sent again without being corrected", byDefault,
		"400, 422 and every other final answer is the caller's.", clientDoesNotInsist,
	},
	{
		"2.7", must, "except after a 409, which needs no correction", byDefault,
		"sent again after `Retry-After`. A 409 without one is a conflict that stays.", clientWaitsForTheFirst,
	},
	{
		"2.7", should, "any other error is dealt with as the server documents it", byDefault,
		"429, 502, 503 and 504 are sent again, after `Retry-After` if there is one.", clientComesBack,
	},
}

// line is the wire to a service, and what has gone over it.
type line struct {
	t       *testing.T
	base    http.RoundTripper
	arrived func(*http.Response) // sees each response first
	cut     int                  // responses that are lost on their way

	mu     sync.Mutex
	keys   []string
	bodies []string
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.GetBody != nil {
		text, err := r.GetBody()
		require.NoError(l.t, err)
		all, err := io.ReadAll(text)
		require.NoError(l.t, err)
		body = string(all)
	}
	l.mu.Lock()
	l.keys, l.bodies = append(l.keys, r.Header.Get("Idempotency-Key")), append(l.bodies, body)
	lost := len(l.keys) <= l.cut
	l.mu.Unlock()
	response, err := l.base.RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case lost:
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return nil, io.ErrUnexpectedEOF
	case l.arrived != nil:
		l.arrived(response)
	}
	return response, nil
}

// dial puts a transport between s and its clients.
func dial(t *testing.T, s *service, transport *idemhttp.Transport) *line {
	t.Helper()
	l := &line{t: t, base: s.client.Transport}
	transport.Base, transport.MinWait = l, time.Millisecond
	s.client.Transport = transport
	return l
}

func clientQuotes(t *testing.T) {
	s := served(t, idemhttp.Config{})
	l := dial(t, s, &idemhttp.Transport{})
	s.send(s.keyed()).requireCreated(t)
	require.Regexp(t, `^"[^"]+"$`, l.keys[0])
	require.Equal(t, 1, s.rows(strings.Trim(l.keys[0], `"`)))

	raw := dial(t, s, &idemhttp.Transport{Raw: true})
	s.send(s.keyed()).requireCreated(t)
	require.NotContains(t, raw.keys[0], `"`)
}

func clientKeysAreUnique(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.greets)
	l := dial(t, s, &idemhttp.Transport{})
	seen := map[string]bool{}
	for range 20 {
		require.Equal(t, "hello annabel", s.send(s.keyed()).body)
		seen[l.keys[len(l.keys)-1]] = true
	}
	require.Len(t, seen, 20)
	require.Equal(t, 20, f.effects("annabel"))
}

func clientRepeatsExactly(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.greets)
	l := dial(t, s, &idemhttp.Transport{})
	l.cut = 2
	r := s.post("", `{"sku": "lamp"}`)
	r.Header.Del("Idempotency-Key")
	got := s.send(r)
	require.Equal(t, "hello annabel", got.body)
	require.True(t, got.replayed())
	require.Equal(t, []string{`{"sku": "lamp"}`, `{"sku": "lamp"}`, `{"sku": "lamp"}`}, l.bodies)
	require.Equal(t, []string{l.keys[0], l.keys[0], l.keys[0]}, l.keys)
	require.Equal(t, 1, f.effects("annabel"))

	once := dial(t, s, &idemhttp.Transport{})
	once.cut = 1
	r = s.post("", "")
	r.Header.Del("Idempotency-Key")
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader("{}")), 2, nil
	_, err := s.try(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Len(t, once.keys, 1)
}

func clientKeysAreRandom(t *testing.T) {
	version4 := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	s := served(t, idemhttp.Config{KeyFormat: version4})
	dial(t, s, &idemhttp.Transport{})
	s.send(s.keyed()).requireCreated(t)
}

func clientMakesKeysToOrder(t *testing.T) {
	s := served(t, idemhttp.Config{KeyFormat: regexp.MustCompile(`order-[0-9]+`)})
	refused := dial(t, s, &idemhttp.Transport{})
	s.send(s.keyed()).requireProblem(t, http.StatusBadRequest, "key_invalid")
	require.Len(t, refused.keys, 1)

	s = served(t, idemhttp.Config{KeyFormat: regexp.MustCompile(`order-[0-9]+`)})
	number := 0
	dial(t, s, &idemhttp.Transport{NewKey: func() string {
		number++
		return fmt.Sprint("order-", number)
	}})
	s.send(s.keyed()).requireCreated(t)
	s.send(s.keyed()).requireCreated(t)
	require.Equal(t, 1, s.rows("order-2"))
}

func clientSendsKeys(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.anyhow)
	l := dial(t, s, &idemhttp.Transport{})
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodGet, http.MethodPut} {
		r := s.keyed()
		r.Method = method
		s.send(r).requireCreated(t)
		require.Equal(t, method == http.MethodPost || method == http.MethodPatch, l.keys[len(l.keys)-1] != "", method)
	}
}

func clientKeepsKeys(t *testing.T) {
	s := served(t, idemhttp.Config{})
	l := dial(t, s, &idemhttp.Transport{})
	first := s.send(s.keyed(`"my own"`))
	first.requireCreated(t)
	s.send(s.keyed(`"my own"`)).requireReplayOf(t, first)
	require.Equal(t, []string{`"my own"`, `"my own"`}, l.keys)

	stranger := s.host(http.NotFoundHandler())
	elsewhere := dial(t, stranger, &idemhttp.Transport{})
	require.Equal(t, http.StatusNotFound, stranger.send(stranger.keyed()).status)
	require.NotEmpty(t, elsewhere.keys[0])
}

func clientDoesNotInsist(t *testing.T) {
	s := served(t, idemhttp.Config{MaxBodyBytes: 100})
	l := dial(t, s, &idemhttp.Transport{})
	s.send(s.post("a", "1")).requireCreated(t)
	for name, r := range map[string]*http.Request{
		"mismatch":       s.post("a", "2"),
		"key_invalid":    s.keyed(`"a`),
		"body_invalid":   s.post("b", "{"),
		"body_too_large": s.post("c", strings.Repeat(" ", 101)),
	} {
		before := len(l.keys)
		require.Contains(t, s.send(r).body, `"type":"/problems/`+name+`"`)
		require.Len(t, l.keys, before+1, name)
	}
	s.requireAttempts(t, 1, 400, 401, 403, 404, 409, 410, 422, 500)
}

// requireAttempts requires a transport to send a request so often that is first
// answered with each of the statuses.
func (s *service) requireAttempts(t *testing.T, attempts int, statuses ...int) {
	t.Helper()
	for _, status := range statuses {
		answer := status
		s := s.serve(idemhttp.Config{}, s.answers(&answer))
		l := dial(t, s, &idemhttp.Transport{})
		l.arrived = func(*http.Response) { answer = 0 }
		got := s.send(s.post(fmt.Sprint("status ", status), "{}"))
		require.Len(t, l.keys, attempts, status)
		if attempts == 1 {
			require.Equal(t, status, got.status)
		} else {
			got.requireCreated(t)
		}
	}
}

func clientWaitsForTheFirst(t *testing.T) {
	s, end := occupied(t, idemhttp.Config{Policy: idemhttp.Policy{OnDuplicate: idemtx.Refuse}}, "a")
	l := dial(t, s, &idemhttp.Transport{})
	statuses := make(chan int, 10)
	l.arrived = func(response *http.Response) {
		if statuses <- response.StatusCode; response.StatusCode == http.StatusConflict {
			end().requireCreated(t)
		}
	}
	got := s.send(s.post("a", "{}"))
	got.requireCreated(t)
	require.True(t, got.replayed())
	require.Equal(t, http.StatusConflict, <-statuses)
	require.Equal(t, http.StatusCreated, <-statuses)
	require.Len(t, l.keys, 2)
}

func clientComesBack(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.requireAttempts(t, 2, 429, 502, 503, 504)
}
