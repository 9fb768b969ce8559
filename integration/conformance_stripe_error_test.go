package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

var stripeErrorRules = []rule{
	{
		"error-low-level", "", "a replay is marked Idempotent-Replayed true", byDefault,
		"and nothing else is, whatever the handler sets.", stripeMarks,
	},
	{
		"error-low-level", "", "a 429 may have another result on the next try", byDefault,
		"429 is never kept. A limiter around the middleware answers before it.", stripeForgets429,
	},
	{
		"error-low-level", "", "a 401 may have another result on the next try", byDefault,
		"the handler's is not kept, and an error of `Config.Scope` is answered before anything is looked up.", stripeForgets401,
	},
	{
		"error-low-level", "", "a 400 of an endpoint that has begun is saved", differs,
		"400 always counts as a failed validation. A `Policy.Decide` of one's own keeps it.", stripeForgets400,
	},
	{
		"error-low-level", "", "a card that is declined stays declined under its key", byDefault,
		"402 is kept; another try takes another key.", stripeDeclines,
	},
	{
		"errors", "", "an error is an object with a type, a message and a code", byDefault,
		"`invalid_request_error` for 4xx, `api_error` for 5xx; the code is the problem's name.", stripeErrorsAreObjects,
	},
	{
		"errors", "", "a key used for another endpoint is an idempotency_error", byDefault,
		"400.", stripeComparesEndpoints,
	},
	{
		"errors", "", "a 409 says that the request conflicts with another one of the same key", byDefault,
		"at once, of the type `idempotency_error` and the code `idempotency_key_in_use`, with `Retry-After`.", stripeConflicts,
	},
}

func stripeMarks(t *testing.T) {
	f := newFixture(t)
	s := f.serve(asStripe(idemhttp.Config{}), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Idempotent-Replayed", "true")
		f.works(w, r)
	})
	first, again := s.twice("a")
	first.requireCreated(t)
	again.requireStripeReplayOf(t, first)
	require.NotContains(t, again.header, "Idempotency-Replayed")
}

func stripeForgets429(t *testing.T) { requireForgotten(t, 429) }

func stripeForgets401(t *testing.T) {
	requireForgotten(t, 401)

	known := false
	s := served(t, asStripe(idemhttp.Config{Scope: func(*http.Request) (scope.Scope, error) {
		if !known {
			return scope.Scope{}, http.ErrNoCookie
		}
		return scope.New("", "annabel")
	}}))
	s.send(s.post("a", "{}")).requireStripeError(t, http.StatusUnauthorized, "invalid_request_error", "unauthenticated")
	known = true
	s.send(s.post("a", "{}")).requireCreated(t)
}

func stripeForgets400(t *testing.T) {
	requireForgotten(t, 400)

	f := newFixture(t)
	status := http.StatusBadRequest
	config := asStripe(idemhttp.Config{})
	config.Policy.Decide = func(int, http.Header) idemhttp.Decision { return idemhttp.Keep }
	s := f.serve(config, f.answers(&status))
	first, again := s.twice("a")
	require.Equal(t, status, first.status)
	again.requireStripeReplayOf(t, first)
	require.EqualValues(t, 1, s.runs.Load())
}

func stripeDeclines(t *testing.T) {
	f := newFixture(t)
	s := f.serve(asStripe(idemhttp.Config{}), f.declines)
	first, again := s.twice("a")
	require.Equal(t, http.StatusPaymentRequired, first.status)
	again.requireStripeReplayOf(t, first)
	other := s.send(s.post("b", "{}"))
	require.Equal(t, http.StatusPaymentRequired, other.status)
	require.Empty(t, other.header.Get("Idempotent-Replayed"))
	require.EqualValues(t, 2, s.runs.Load())
	require.Zero(t, f.effects("declined"))
}

func stripeErrorsAreObjects(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{MaxBodyBytes: 10}), withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 1 }))
	for _, e := range []struct {
		request    *http.Request
		status     int
		kind, code string
	}{
		{s.keyed("a", "b"), http.StatusBadRequest, "invalid_request_error", "key_invalid"},
		{s.post("a", `{"long": 12345}`), http.StatusRequestEntityTooLarge, "invalid_request_error", "body_too_large"},
		{s.post("a", `{}`), http.StatusInternalServerError, "api_error", "internal"},
	} {
		s.send(e.request).requireStripeError(t, e.status, e.kind, e.code)
	}
	require.Zero(t, s.rows("a"))
}

func stripeComparesEndpoints(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	s.send(s.post("a", "{}")).requireCreated(t)
	r := s.post("a", "{}")
	r.URL.Path = "/refunds"
	s.send(r).requireStripeError(t, http.StatusBadRequest, "idempotency_error", "mismatch")
	require.EqualValues(t, 1, s.runs.Load())
}

func stripeConflicts(t *testing.T) {
	s, end := occupied(t, asStripe(idemhttp.Config{}), "a")
	got := s.send(s.post("a", "{}"))
	got.requireStripeError(t, http.StatusConflict, "idempotency_error", "idempotency_key_in_use")
	require.Regexp(t, `^[1-9][0-9]*$`, got.header.Get("Retry-After"))
	s.send(s.post("a", "[]")).requireStripeError(t, http.StatusBadRequest, "idempotency_error", "mismatch")
	end().requireCreated(t)
}
