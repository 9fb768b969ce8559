package idemhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

const uuid = `^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`

func TestTransportGivesOneKeyToAllAttempts(t *testing.T) {
	t.Parallel()
	w := answers(503, 503, 201)
	transport := quick(w)
	r := order(t)
	r.Header.Set("X-User", "annabel")
	before, header := *r, r.Header.Clone()
	status, err := trip(transport, r)
	require.NoError(t, err)
	require.Equal(t, 201, status)
	require.Len(t, w.attempts, 3)
	for _, a := range w.attempts {
		require.Regexp(t, uuid, a.key)
		require.Equal(t, w.attempts[0].key, a.key)
		require.Equal(t, "annabel", a.request.Header.Get("X-User"))
		require.Equal(t, "an order", a.body)
		require.EqualValues(t, len("an order"), a.request.ContentLength)
		require.Equal(t, r.Context(), a.request.Context())
	}
	require.Equal(t, header, r.Header, "RoundTrip must not modify the request")
	require.Equal(t, before.Body, r.Body)
	require.NotSame(t, w.attempts[0].request, w.attempts[1].request, "Base may still be reading the first")

	_, err = trip(transport, order(t))
	require.NoError(t, err)
	require.NotEqual(t, w.attempts[0].key, w.attempts[3].key)
}

func TestTransportKeepsTheCallersKey(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"} {
		w := answers(503, 201)
		transport := quick(w)
		transport.NewKey = func() string { panic("there is one") }
		r := order(t)
		r.Header = http.Header{name: {"mine"}}
		_, err := trip(transport, r)
		require.NoError(t, err)
		require.Len(t, w.attempts, 2)
		for _, a := range w.attempts {
			require.Equal(t, http.Header{name: {"mine"}}, a.request.Header)
		}
	}
}

// TestTransportGivesAKeyWhereNoneIsSent: net/http takes a header without values
// for an idempotent request, and sends no key.
func TestTransportGivesAKeyWhereNoneIsSent(t *testing.T) {
	t.Parallel()
	for _, header := range []http.Header{nil, {"Idempotency-Key": nil}, {"Idempotency-Key": {}}} {
		w := answers(201)
		r := order(t)
		r.Header = header
		_, err := trip(quick(w), r)
		require.NoError(t, err)
		require.Regexp(t, uuid, w.attempts[0].key)
		require.Equal(t, header, r.Header)
	}
}

func TestTransportSpellsKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key   string
		raw   bool
		value string
	}{
		{"abc-1", false, `"abc-1"`},
		{"abc-1", true, `abc-1`},
		{` a"b\c `, false, `" a\"b\\c "`},
		{`a\c`, true, `a\c`},
		{strings.Repeat("k", 255), true, strings.Repeat("k", 255)},
	} {
		w := answers(201)
		_, err := trip(&idemhttp.Transport{Base: w, Raw: test.raw, NewKey: func() string { return test.key }}, order(t))
		require.NoError(t, err)
		require.Equal(t, test.value, w.attempts[0].key)
		read, err := idemhttp.ParseKey([]string{w.attempts[0].key})
		require.NoError(t, err)
		require.Equal(t, test.key, read)
	}
}

func TestTransportSendsNoBadKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule string
		key  string
		raw  bool
	}{
		{"is empty", "", false},
		{"is empty", "", true},
		{"has more than 255 bytes", strings.Repeat("k", 256), false},
		{"is not printable ASCII", "secret\r\nX-Admin: yes", false},
		{"is not printable ASCII", "secret\r\nX-Admin: yes", true},
		{"is not printable ASCII", "sécret", false},
		{"is a list, has a parameter, or holds a quote", "secret, another", true},
		{"begins or ends with a space, or is in quotes already", "secret ", true},
		{"begins or ends with a space, or is in quotes already", `"secret"`, true},
	} {
		w := answers(201)
		r := order(t)
		sent := &body{Reader: r.Body}
		r.Body = sent
		_, err := trip(&idemhttp.Transport{Base: w, Raw: test.raw, NewKey: func() string { return test.key }}, r)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		require.ErrorContains(t, err, test.rule)
		require.NotContains(t, err.Error(), "secret")
		require.Empty(t, w.attempts)
		require.True(t, sent.closed.Load())

		r.Body = nil
		_, err = trip(&idemhttp.Transport{Base: w, Raw: test.raw, NewKey: func() string { return test.key }}, r)
		require.ErrorContains(t, err, test.rule)
	}
}

func TestTransportLetsOtherMethodsPass(t *testing.T) {
	t.Parallel()
	for method, methods := range map[string][]string{
		http.MethodGet:    nil,
		"":                nil,
		http.MethodPut:    nil,
		http.MethodDelete: {},
		http.MethodPost:   {http.MethodDelete},
	} {
		w := answers(503)
		r := order(t)
		r.Method = method
		status, err := trip(&idemhttp.Transport{Base: w, Methods: methods}, r)
		require.NoError(t, err)
		require.Equal(t, 503, status)
		require.Len(t, w.attempts, 1)
		require.Same(t, r, w.attempts[0].request)
		require.Empty(t, w.attempts[0].key)
	}
	for method, methods := range map[string][]string{
		http.MethodPost:   nil,
		http.MethodPatch:  {},
		http.MethodDelete: {http.MethodDelete},
	} {
		w := answers(201)
		r := order(t)
		r.Method = method
		_, err := trip(&idemhttp.Transport{Base: w, Methods: methods}, r)
		require.NoError(t, err)
		require.Regexp(t, uuid, w.attempts[0].key)
	}
}

// TestTransportTellsTheKey where a caller looks whose response breaks off.
func TestTransportTellsTheKey(t *testing.T) {
	t.Parallel()
	w := answers(503, 201)
	response, err := quick(w).RoundTrip(order(t))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, w.attempts[1].key, response.Request.Header.Get("Idempotency-Key"))
	require.Same(t, w.attempts[1].request, response.Request)

	// A Base that has sent a request of its own says which.
	own := order(t)
	response, err = quick(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 201, Body: http.NoBody, Request: own}, nil
	})).RoundTrip(order(t))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Same(t, own, response.Request)
}

func TestTransportServesManyAtOnce(t *testing.T) {
	t.Parallel()
	w := answers(200)
	transport := quick(w)
	var senders sync.WaitGroup
	for range 50 {
		r := order(t)
		senders.Go(func() { _, _ = trip(transport, r) })
	}
	senders.Wait()
	keys := map[string]bool{}
	for _, a := range w.attempts {
		keys[a.key] = true
	}
	require.Len(t, keys, 50)
}

func TestTransportZeroValue(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Idempotency-Key"))
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &idemhttp.Transport{}}
	response, err := client.Post(server.URL, "text/plain", strings.NewReader("an order"))
	require.NoError(t, err)
	defer response.Body.Close()
	key, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Regexp(t, uuid, string(key))
	require.Equal(t, string(key), response.Request.Header.Get("Idempotency-Key"))
}

// closer is a Base with connections to close.
type closer struct {
	http.RoundTripper
	closed bool
}

func (c *closer) CloseIdleConnections() { c.closed = true }

func TestTransportClosesIdleConnections(t *testing.T) {
	t.Parallel()
	base := &closer{}
	client := &http.Client{Transport: &idemhttp.Transport{Base: base}}
	client.CloseIdleConnections()
	require.True(t, base.closed)

	client = &http.Client{Transport: &idemhttp.Transport{Base: answers(200)}}
	client.CloseIdleConnections()
}
