package integration

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

var draftReplyRules = []rule{
	{
		"2.5.2", must, "a specification of the idempotency is published", byDefault,
		"the package documentation: the type of each problem links to a heading there, or below `Config.ProblemBase`.", specificationIsPublished,
	},
	{
		"2.5.2", must, "the specification includes the expiry policy", byDefault,
		"the package documentation, and `Idempotency-Expires` for each reply.", specificationTellsExpiry,
	},
	{
		"2.5.2", should, "the key is what the Idempotency-Key header says", byDefault,
		"no other header, parameter or member is a key.", keyIsInTheHeader,
	},
	{
		"2.5.2", should, "a fingerprint is made of the request if one is required", byDefault,
		"of method, path, query, media type, content coding and body.", fingerprintIsMade,
	},
	{
		"2.5.2", should, "idempotency is enforced", byDefault,
		"one run for many requests at once, from two processes.", idempotencyIsEnforced,
	},
	{
		"2.6", should, "a first request is processed as if it had no key", byDefault,
		"the same status, headers and body; only `Idempotency-Expires` is added.", firstIsProcessed,
	},
	{
		"2.6", should, "a retry after a success gets that result", byDefault,
		"the stored reply, marked `Idempotency-Replayed: true`. The handler does not run.", successIsReplayed,
	},
	{
		"2.6", should, "a retry after an error gets that result", differs,
		"an error has undone its writes and is forgotten, so that a retry may succeed. " +
			"A `Policy.Decide` that returns `Keep`, or `idemhttp.Stripe`, has it replayed.", errorIsReplayed,
	},
	{
		"2.6", should, "a duplicate of a request in progress gets a conflict", differs,
		"it waits up to `idemtx.Config.MaxWait` (10 s) and gets the first one's reply, and the conflict only then. " +
			"`OnDuplicate: idemtx.Refuse`, of the Policy or the store, answers it at once.", duplicateConflicts,
	},
}

func keyIsInTheHeader(t *testing.T) {
	s := served(t, idemhttp.Config{})
	r := s.post("", `{"idempotency_key": "a"}`)
	r.Header = http.Header{"X-User": {"annabel"}, "X-Idempotency-Key": {"a"}, "Content-Type": {"application/json"}}
	r.URL.RawQuery = "idempotency_key=a"
	s.send(r).requireProblem(t, http.StatusBadRequest, "key_missing")
	require.Zero(t, s.runs.Load())

	s.send(s.keyed("a")).requireCreated(t)
	require.Equal(t, 1, s.rows("a"))
}

func fingerprintIsMade(t *testing.T) {
	s := served(t, idemhttp.Config{Methods: []string{http.MethodPost, http.MethodPut}})
	s.send(s.post("a", "{}")).requireCreated(t)
	for part, change := range map[string]func(*http.Request){
		"method":         func(r *http.Request) { r.Method = http.MethodPut },
		"path":           func(r *http.Request) { r.URL.Path = "/payments" },
		"query":          func(r *http.Request) { r.URL.RawQuery = "dry=1" },
		"media type":     func(r *http.Request) { r.Header.Set("Content-Type", "application/merge-patch+json") },
		"content coding": func(r *http.Request) { r.Header.Set("Content-Encoding", "zstd") },
		"body":           func(r *http.Request) { setBody(r, "[]") },
	} {
		r := s.post("a", "{}")
		change(r)
		got := s.send(r)
		require.Equal(t, http.StatusUnprocessableEntity, got.status, part)
	}
	require.Equal(t, 1, s.effects("a"))
}

func idempotencyIsEnforced(t *testing.T) {
	here, end := occupied(t, idemhttp.Config{}, "storm")
	peer := here.peer()
	there := peer.serve(idemhttp.Config{}, peer.works)
	answers := make([]<-chan heard, 0, 20)
	for range cap(answers) / 2 {
		answers = append(answers, here.begin(here.post("storm", "{}")), there.begin(there.post("storm", "{}")))
	}
	here.blocked(1)
	first := end()
	first.requireCreated(t)
	for _, answer := range answers {
		(<-answer).requireReplayOf(t, first)
	}
	require.EqualValues(t, 1, here.runs.Load()+there.runs.Load())
	require.Equal(t, 1, here.effects("storm"))
}

func firstIsProcessed(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Optional: true}, func(w http.ResponseWriter, r *http.Request) {
		if idemhttp.Tx(r.Context()) != nil {
			if err := f.insert(r, "first"); err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
				return
			}
		}
		w.Header().Set("Location", "/orders/1")
		w.Header()["X-Trace"] = []string{"a", "b"}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, r.Body)
	})
	with, without := s.send(s.keyed("first")), s.send(s.keyed())
	require.NotEmpty(t, with.header.Get("Idempotency-Expires"))
	for _, got := range []heard{with, without} {
		got.header.Del("Idempotency-Expires")
		got.header.Del("Date")
	}
	require.Equal(t, without, with)
	require.Equal(t, "{}", with.body)
	require.Equal(t, 1, f.effects("first"))
}

func successIsReplayed(t *testing.T) {
	s := served(t, idemhttp.Config{})
	first := s.send(s.post("a", "{}"))
	first.requireCreated(t)
	for range 3 {
		s.send(s.post("a", "{}")).requireReplayOf(t, first)
	}
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, s.effects("a"))
}

func errorIsReplayed(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.declines)
	for runs := range 2 {
		got := s.send(s.post("a", "{}"))
		require.Equal(t, http.StatusPaymentRequired, got.status)
		require.False(t, got.replayed())
		require.EqualValues(t, runs+1, s.runs.Load())
	}

	keep := func(int, http.Header) idemhttp.Decision { return idemhttp.Keep }
	s = f.serve(idemhttp.Config{Policy: idemhttp.Policy{Decide: keep}}, f.declines)
	first := s.send(s.post("b", "{}"))
	require.Equal(t, http.StatusPaymentRequired, first.status)
	s.send(s.post("b", "{}")).requireReplayOf(t, first)
	require.EqualValues(t, 1, s.runs.Load())
	require.Zero(t, f.effects("declined"))
}

// declines does work that it then takes back.
func (f *fixture) declines(w http.ResponseWriter, r *http.Request) {
	if err := f.insert(r, "declined"); err != nil {
		panic(err)
	}
	http.Error(w, "the card is declined", http.StatusPaymentRequired)
}

func duplicateConflicts(t *testing.T) {
	s, end := occupied(t, idemhttp.Config{}, "waits")
	peer := s.peer()
	elsewhere := peer.serve(idemhttp.Config{}, peer.works)
	here, there := s.begin(s.post("waits", "{}")), elsewhere.begin(elsewhere.post("waits", "{}"))
	s.blocked(1)
	first := end()
	first.requireCreated(t)
	(<-here).requireReplayOf(t, first)
	(<-there).requireReplayOf(t, first)

	for name, refuse := range map[string]struct {
		config  idemhttp.Config
		options []option
	}{
		"the policy": {config: idemhttp.Config{Policy: idemhttp.Policy{OnDuplicate: idemtx.Refuse}}},
		"the store":  {options: []option{withConfig(refusing)}},
		"the wait":   {options: []option{withConfig(func(c *idemtx.Config) { c.MaxWait = time.Millisecond })}},
	} {
		s, end := occupied(t, refuse.config, name, refuse.options...)
		s.send(s.post(name, "{}")).requireProblem(t, http.StatusConflict, "in_flight")
		first := end()
		first.requireCreated(t)
		s.send(s.post(name, "{}")).requireReplayOf(t, first)
	}
}
