package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

var stripeRules = []rule{
	{
		"idempotent_requests", "", "a key is sent as it is, in up to 255 characters", byDefault,
		"raw or quoted. One that holds a quote, comma or semicolon has to be quoted.", stripeKey,
	},
	{
		"idempotent_requests", "", "all POST requests accept a key, and none requires one", bySetting,
		"`Config.Optional`.", stripeOptional,
	},
	{
		"idempotent_requests", "", "a key has no effect on GET and DELETE", byDefault,
		"they pass through, whatever the header holds.", stripeIgnores,
	},
	{
		"idempotent_requests", "", "status and body of the first request are saved, and later ones get them", byDefault,
		"with the headers, but for those of one sending.", stripeReplays,
	},
	{
		"idempotent_requests", "", "they are saved when the request has failed, too", byDefault,
		"the writes are undone and the reply is kept.", stripeKeepsErrors,
	},
	{
		"idempotent_requests", "", "a 500 is saved, too", byDefault,
		"the handler's, unless it comes from a failure of PostgreSQL's that passes.", stripeKeeps500,
	},
	{
		"idempotent_requests", "", "whatever else the endpoint answers is saved", differs,
		"408, 425, 429, 502, 503, 504, and errors with `Retry-After`, are of the moment and are never kept.", stripeForgetsTransients,
	},
	{
		"idempotent_requests", "", "parameters that fail validation save nothing", byDefault,
		"400 is forgotten, the handler's and idemhttp's own: the corrected request may have the same key.", stripeForgetsValidation,
	},
	{
		"idempotent_requests", "", "a conflict with a concurrent request saves nothing", byDefault,
		"the same request gets the first one's reply when that has ended.", stripeForgetsConflicts,
	},
	{
		"idempotent_requests", "", "other parameters under a used key are an error", byDefault,
		"400 of the type `idempotency_error`. Nothing runs.", stripeComparesParameters,
	},
	{
		"idempotent_requests", "", "a key is kept for at least 24 hours", byDefault,
		"for 24 hours, or `idemtx.Config.TTL`.", stripeKeepsADay,
	},
	{
		"idempotent_requests", "", "after that a request with the key is a new one", byDefault,
		"as long as `idemtx.Config.OnExpired` is `Rerun`.", stripeStartsAnew,
	},
}

// asStripe is config with Stripe's rules.
func asStripe(config idemhttp.Config) idemhttp.Config {
	config.Policy, config.Optional, config.Methods = idemhttp.Stripe, true, []string{http.MethodPost}
	return config
}

// twice sends one request two times.
func (s *service) twice(key string) (first, again heard) {
	s.t.Helper()
	return s.send(s.post(key, "{}")), s.send(s.post(key, "{}"))
}

// requireStripeReplayOf requires h to be the first answer again.
func (h heard) requireStripeReplayOf(t *testing.T, first heard) {
	t.Helper()
	require.Equal(t, "true", h.header.Get("Idempotent-Replayed"), h.body)
	require.Empty(t, first.header.Get("Idempotent-Replayed"))
	require.Equal(t, first.status, h.status)
	require.Equal(t, first.body, h.body)
}

// requireStripeError requires h to be an error object, not saved.
func (h heard) requireStripeError(t *testing.T, status int, kind, code string) {
	t.Helper()
	require.Equal(t, status, h.status, h.body)
	require.Equal(t, "application/json", h.header.Get("Content-Type"))
	var got struct{ Error map[string]string }
	require.NoError(t, json.Unmarshal([]byte(h.body), &got))
	require.Equal(t, kind, got.Error["type"])
	require.Equal(t, code, got.Error["code"])
	require.NotEmpty(t, got.Error["message"])
	require.NotEmpty(t, got.Error["doc_url"])
	require.Empty(t, h.header.Get("Idempotent-Replayed"))
}

// answers is a handler that works and then answers with that status, while there
// is one.
func (f *fixture) answers(status *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if *status == 0 {
			f.works(w, r)
			return
		}
		if err := f.insert(r, "undone"); err != nil {
			panic(err)
		}
		http.Error(w, fmt.Sprint("no: ", *status), *status)
	}
}

func stripeKey(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	longest := strings.Repeat("k", 255)
	for _, key := range []string{longest, aUUID, "order 1/2 (a=b)"} {
		first, again := s.twice(key)
		first.requireCreated(t)
		again.requireStripeReplayOf(t, first)
		s.send(s.keyed(`"`+key+`"`)).requireStripeReplayOf(t, first)
	}
	s.send(s.keyed(longest+"k")).requireStripeError(t, http.StatusBadRequest, "invalid_request_error", "key_invalid")
	for _, odd := range []string{"a,b", "a;b"} {
		s.send(s.keyed(odd)).requireStripeError(t, http.StatusBadRequest, "invalid_request_error", "key_invalid")
		s.send(s.keyed(`"` + odd + `"`)).requireCreated(t)
	}
}

func stripeOptional(t *testing.T) {
	f := newFixture(t)
	s := f.serve(asStripe(idemhttp.Config{}), f.anyhow)
	for range 2 {
		s.send(s.keyed()).requireCreated(t)
	}
	require.Equal(t, 2, f.effects("none"))
	first, again := s.twice("a")
	first.requireCreated(t)
	again.requireStripeReplayOf(t, first)
}

func stripeIgnores(t *testing.T) {
	f := newFixture(t)
	s := f.serve(asStripe(idemhttp.Config{}), f.anyhow)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		for _, key := range []string{"a", "a", strings.Repeat("k", 256)} {
			r := s.keyed(key)
			r.Method = method
			got := s.send(r)
			got.requireCreated(t)
			require.Empty(t, got.header.Get("Idempotent-Replayed"))
		}
	}
	require.EqualValues(t, 6, s.runs.Load())
	require.Zero(t, ask[int](t, "SELECT count(*) FROM "+f.table()))
}

func stripeReplays(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	first := s.send(s.post("a", "{}"))
	first.requireCreated(t)
	for range 3 {
		s.send(s.post("a", "{}")).requireStripeReplayOf(t, first)
	}
	require.Equal(t, 1, s.effects("a"))
}

// requireKept requires a reply with each status to be final.
func requireKept(t *testing.T, statuses ...int) {
	t.Helper()
	f := newFixture(t)
	for _, status := range statuses {
		s := f.serve(asStripe(idemhttp.Config{}), f.answers(&status))
		key := fmt.Sprint(status)
		first, again := s.twice(key)
		require.Equal(t, status, first.status, first.body)
		again.requireStripeReplayOf(t, first)
		require.EqualValues(t, 1, s.runs.Load())
		require.Equal(t, 1, f.rows(key))
		s.send(s.post(key, "[]")).requireStripeError(t, http.StatusBadRequest, "idempotency_error", "mismatch")
	}
	require.Zero(t, f.effects("undone"))
}

// requireForgotten requires a reply with each status to be no one's last word.
func requireForgotten(t *testing.T, statuses ...int) {
	t.Helper()
	f := newFixture(t)
	for _, status := range statuses {
		answer := status
		s := f.serve(asStripe(idemhttp.Config{}), f.answers(&answer))
		key := fmt.Sprint(status)
		for _, got := range []heard{s.send(s.post(key, "{}")), s.send(s.post(key, "{}"))} {
			require.Equal(t, status, got.status)
			require.Empty(t, got.header.Get("Idempotent-Replayed"))
		}
		require.Zero(t, f.rows(key))
		answer = 0
		s.send(s.post(key, `{"corrected": true}`)).requireCreated(t)
		require.EqualValues(t, 3, s.runs.Load())
	}
	require.Zero(t, f.effects("undone"))
}

func stripeKeepsErrors(t *testing.T) { requireKept(t, 402, 403, 404, 409, 422) }

func stripeKeeps500(t *testing.T) {
	requireKept(t, 500, 501)

	f := newFixture(t)
	f.failing(1, "53200", false)
	s := f.serve(asStripe(idemhttp.Config{}), func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "a"); err != nil {
			http.Error(w, "out of memory", http.StatusInternalServerError)
		}
	})
	first, again := s.twice("a")
	require.Equal(t, http.StatusInternalServerError, first.status)
	require.Equal(t, http.StatusOK, again.status)
}

func stripeForgetsTransients(t *testing.T) { requireForgotten(t, 408, 425, 502, 503, 504) }

func stripeForgetsValidation(t *testing.T) {
	requireForgotten(t, 400)

	s := served(t, asStripe(idemhttp.Config{}))
	s.send(s.post("a", "{")).requireStripeError(t, http.StatusBadRequest, "invalid_request_error", "body_invalid")
	s.send(s.post("a", "{}")).requireCreated(t)
}

func stripeForgetsConflicts(t *testing.T) {
	s, end := occupied(t, asStripe(idemhttp.Config{}), "a")
	for range 2 {
		require.Equal(t, http.StatusConflict, s.send(s.post("a", "{}")).status)
	}
	first := end()
	first.requireCreated(t)
	s.send(s.post("a", "{}")).requireStripeReplayOf(t, first)
	require.EqualValues(t, 1, s.runs.Load())
}

func stripeComparesParameters(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	form := func(body string) *http.Request {
		r := s.post("a", body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	first := s.send(form("amount=2000&currency=eur"))
	first.requireCreated(t)
	s.send(form("amount=2001&currency=eur")).requireStripeError(t, http.StatusBadRequest, "idempotency_error", "mismatch")
	s.send(form("amount=2000&currency=eur")).requireStripeReplayOf(t, first)
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, s.effects("a"))
}

// age makes all replies older, as if the clock had gone on.
func (f *fixture) age(by string) {
	f.t.Helper()
	exec(f.t, "UPDATE "+f.table()+" SET created_at = created_at - interval '"+by+"', expires_at = expires_at - interval '"+by+"'")
}

func stripeKeepsADay(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	first := s.send(s.post("a", "{}"))
	first.requireCreated(t)
	s.age("23 hours 59 minutes")
	deleted, err := s.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.Zero(t, deleted)
	s.send(s.post("a", "{}")).requireStripeReplayOf(t, first)
}

func stripeStartsAnew(t *testing.T) {
	s := served(t, asStripe(idemhttp.Config{}))
	s.send(s.post("a", `{"amount": 1}`)).requireCreated(t)
	s.age("24 hours")
	again := s.send(s.post("a", `{"amount": 2}`))
	again.requireCreated(t)
	require.Empty(t, again.header.Get("Idempotent-Replayed"))
	require.Equal(t, 2, s.effects("a"))
}
