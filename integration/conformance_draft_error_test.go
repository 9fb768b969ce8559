package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

var draftErrorRules = []rule{
	{
		"2.7", should, "a missing key is answered 400, with a link to the documentation in the body", byDefault,
		"problem `key_missing`, whose type is the link.", keyMissing,
	},
	{
		"2.7", advice, "an operation that does not require a key takes requests without one", bySetting,
		"`Config.Optional`, and `Config.Methods` for other methods than POST and PATCH.", keyOptional,
	},
	{
		"2.7", should, "another payload under a used key is answered 422, with a link to the documentation in the body", byDefault,
		"problem `mismatch`, whose type is the link.", mismatched,
	},
	{
		"2.7", should, "a retry while the request is being processed is answered 409, with a description in the body", differs,
		"by default it waits, see 2.6. Where it is refused: problem `in_flight`, with `Retry-After`.", inProgress,
	},
	{
		"2.7", advice, "the link may be a Link header of the relation describedby instead", bySetting,
		"`Policy.Problem`.", linkIsAHeader,
	},
	{
		"2.7", must, "a request that is sent again without being corrected fails again, 409 excepted", byDefault,
		"with the same problem each time; after a 409 the same request gets the reply.", uncorrectedFailsAgain,
	},
	{
		"2.7", advice, "what a client does about any other error is documented", byDefault,
		"below the heading of each problem, which begins with its status. 503 has `Retry-After`.", otherErrorsAreDocumented,
	},
	{
		"5", advice, "the format of a key is fixed and published", byDefault,
		"1 to 255 characters of printable ASCII; `Config.KeyFormat` narrows that.", formatIsFixed,
	},
	{
		"5", advice, "a key is validated before anything else is done with it", byDefault,
		"a bad one costs no connection, and neither scope, body nor handler is looked at.", keyIsValidatedFirst,
	},
	{
		"5", may, "what is looked up is the key together with what only the server knows of the client", byDefault,
		"`Config.Scope`: who guesses a key gets nobody else's reply.", keyIsComposite,
	},
	{
		"5", advice, "a key cannot inject anything", byDefault,
		"it is a parameter of every statement.", keyInjectsNothing,
	},
	{
		"5", advice, "keys that can be guessed are refused", bySetting,
		"`Config.KeyFormat`. By default the scope protects alone.", guessableIsRefused,
	},
}

func keyMissing(t *testing.T) {
	s := served(t, idemhttp.Config{})
	got := s.send(s.keyed())
	got.requireProblem(t, http.StatusBadRequest, "key_missing")
	var problem struct{ Type, Title, Detail string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &problem))
	require.Equal(t, "/problems/key_missing", problem.Type)
	require.Contains(t, problem.Title, "Idempotency-Key")
	require.NotEmpty(t, problem.Detail)
	require.Zero(t, s.runs.Load())
}

func keyOptional(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Optional: true}, f.anyhow)
	for range 2 {
		s.send(s.keyed()).requireCreated(t)
	}
	require.Equal(t, 2, f.effects("none"))

	s = f.serve(idemhttp.Config{Methods: []string{http.MethodPut}}, f.anyhow)
	s.send(s.keyed()).requireCreated(t)
	r := s.keyed()
	r.Method = http.MethodPut
	s.send(r).requireProblem(t, http.StatusBadRequest, "key_missing")
}

// anyhow works with a transaction or without.
func (f *fixture) anyhow(w http.ResponseWriter, r *http.Request) {
	var db execer = f.pool
	if tx := idemhttp.Tx(r.Context()); tx != nil {
		db = tx
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		key = "none"
	}
	if _, err := f.effect(r.Context(), db, key); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "done")
}

func mismatched(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.post("a", "1")).requireCreated(t)
	got := s.send(s.post("a", "2"))
	got.requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	require.Empty(t, got.header.Get("Retry-After"), "time does not mend it")
	require.EqualValues(t, 1, s.runs.Load())
}

func inProgress(t *testing.T) {
	s, end := occupied(t, idemhttp.Config{Policy: idemhttp.Policy{OnDuplicate: idemtx.Refuse}}, "a")
	got := s.send(s.post("a", "{}"))
	got.requireProblem(t, http.StatusConflict, "in_flight")
	require.Regexp(t, `^[1-9][0-9]*$`, got.header.Get("Retry-After"))
	require.Contains(t, got.body, `"detail":"A request with this Idempotency-Key has not ended.`)
	s.send(s.post("a", "[]")).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	end().requireCreated(t)
	require.EqualValues(t, 1, s.runs.Load())
}

func linkIsAHeader(t *testing.T) {
	s := served(t, idemhttp.Config{Policy: idemhttp.Policy{Problem: func(p idemhttp.Problem) idemhttp.Response {
		return idemhttp.Response{Header: http.Header{"Link": {"<" + p.Type + `>; rel="describedby"; type="text/html"`}}}
	}}})
	got := s.send(s.keyed())
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, `</problems/key_missing>; rel="describedby"; type="text/html"`, got.header.Get("Link"))
	require.Empty(t, got.body)
}

func uncorrectedFailsAgain(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.post("a", "1")).requireCreated(t)
	for range 3 {
		s.send(s.keyed()).requireProblem(t, http.StatusBadRequest, "key_missing")
		s.send(s.keyed(`"a`)).requireProblem(t, http.StatusBadRequest, "key_invalid")
		s.send(s.post("a", "2")).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
	}
	require.EqualValues(t, 1, s.runs.Load())

	s, end := occupied(t, idemhttp.Config{Policy: idemhttp.Policy{OnDuplicate: idemtx.Refuse}}, "b")
	s.send(s.post("b", "{}")).requireProblem(t, http.StatusConflict, "in_flight")
	s.send(s.post("b", "{}")).requireProblem(t, http.StatusConflict, "in_flight")
	first := end()
	s.send(s.post("b", "{}")).requireReplayOf(t, first)
}

func formatIsFixed(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.keyed(strings.Repeat("k", 255))).requireCreated(t)
	s.send(s.keyed(" !#$%&'()*+-./:<=>?@[]^_`{|}~")).requireCreated(t)
	for _, bad := range []string{"", `""`, strings.Repeat("k", 256), "na\xefve", "a\tb"} {
		s.send(s.keyed(bad)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
	s = served(t, idemhttp.Config{KeyFormat: regexp.MustCompile(`[a-z]{26}`)})
	s.send(s.keyed("qmxvtkzrwbnhsjdlypgfceauio")).requireCreated(t)
	s.send(s.keyed("qmxvtkzrwbnhsjdlypgfceauiO")).requireProblem(t, http.StatusBadRequest, "key_invalid")
	require.Contains(t, published(t)["hdr-key_invalid"], "ParseKey")
}

// keyIsValidatedFirst takes the table away: whoever looks for it fails.
func keyIsValidatedFirst(t *testing.T) {
	asked := false
	s := served(t, idemhttp.Config{
		KeyFormat: regexp.MustCompile("[a-z]{26}"),
		Scope: func(*http.Request) (scope.Scope, error) {
			asked = true
			return scope.New("", "")
		},
	})
	exec(t, "DROP TABLE "+s.table())
	before := s.pool.Stat().AcquireCount()
	s.send(s.post("short", `{"not": "JSON`)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	require.False(t, asked)
	require.Equal(t, before, s.pool.Stat().AcquireCount(), "nobody took a connection")
	require.Zero(t, s.runs.Load())
}

func keyIsComposite(t *testing.T) {
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.greets)
	mine := s.send(s.post("1", "{}"))
	require.Equal(t, "hello annabel", mine.body)
	r := s.post("1", "{}")
	r.Header.Set("X-User", "mallory")
	guessed := s.send(r)
	require.Equal(t, "hello mallory", guessed.body)
	require.False(t, guessed.replayed())
	s.send(s.post("1", "{}")).requireReplayOf(t, mine)
}

func keyInjectsNothing(t *testing.T) {
	s := served(t, idemhttp.Config{})
	key := "'); DROP TABLE " + s.schema + ".effects; --"
	first := s.send(s.keyed(`"` + key + `"`))
	first.requireCreated(t)
	s.send(s.keyed(`"`+key+`"`)).requireReplayOf(t, first)
	require.Equal(t, 1, s.rows(key))
	require.Equal(t, 1, s.effects(key))
}

func guessableIsRefused(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.keyed("1")).requireCreated(t)

	s = served(t, idemhttp.Config{KeyFormat: regexp.MustCompile(`[!-~]{22,255}`)})
	s.send(s.keyed("1")).requireProblem(t, http.StatusBadRequest, "key_invalid")
	s.send(s.keyed(aUUID)).requireCreated(t)
}
