package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

var fieldRules = []rule{
	{
		"3.1.2", must, "an Item may have parameters, and one that is unknown is no error", differs,
		"400. The draft defines none, and a parameter that came to mean something would be a part of which request this is.", parametersAreRefused,
	},
	{
		"3.3.3", must, "a String may have 1024 characters", differs,
		"400 above 255, and for the empty String: the key's own format, see section 5 of the draft.", keyHasALength,
	},
	{
		"4.2", must, "the lines of a field are read as one, so that two keys are not an Item", byDefault,
		"400.", oneLine,
	},
	{
		"4.2", must, "a field that does not parse is not used, even in part: it is ignored, or the request is malformed", byDefault,
		"400, also with `Config.Optional`: what was meant to be protected does not run unprotected.", badFieldIsMalformed,
	},
	{
		"4.2", must, "nothing follows the Item", byDefault,
		"400.", nothingFollows,
	},
	{
		"4.2.5", must, "a String ends with a quote", byDefault,
		"400.", stringIsClosed,
	},
	{
		"4.2.5", must, "only a quote and a backslash are escaped", byDefault,
		"400 for any other escape.", escapesAreTwo,
	},
	{
		"4.2.5", must, "a String holds printable ASCII alone", byDefault,
		"400.", stringIsASCII,
	},
}

// requireRefused requires each of the lines to be no key.
func requireRefused(t *testing.T, lines ...string) {
	t.Helper()
	s := served(t, idemhttp.Config{})
	for _, line := range lines {
		s.send(s.keyed(line)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
	require.Zero(t, s.runs.Load())
	require.Zero(t, ask[int](t, "SELECT count(*) FROM "+s.table()))
}

func parametersAreRefused(t *testing.T) {
	requireRefused(t, `"a";v=1`, `"a"; v`, `"a";v="2"`)
}

func keyHasALength(t *testing.T) {
	s := served(t, idemhttp.Config{})
	s.send(s.keyed(`"` + strings.Repeat("k", 255) + `"`)).requireCreated(t)
	s.send(s.keyed(`"` + strings.Repeat(`\"`, 255) + `"`)).requireCreated(t)
	require.Equal(t, 1, s.rows(strings.Repeat(`"`, 255)))
	requireRefused(t, `"`+strings.Repeat("k", 256)+`"`, `"`+strings.Repeat("k", 1024)+`"`, `""`)
}

func oneLine(t *testing.T) {
	s := served(t, idemhttp.Config{})
	for _, lines := range [][]string{{`"a"`, `"b"`}, {`"a"`, `"a"`}, {"a", "a"}, {`"a`, `b"`}} {
		s.send(s.keyed(lines...)).requireProblem(t, http.StatusBadRequest, "key_invalid")
	}
	require.Zero(t, s.runs.Load())
}

func badFieldIsMalformed(t *testing.T) {
	for _, optional := range []bool{false, true} {
		s := served(t, idemhttp.Config{Optional: optional})
		for _, line := range []string{`"a`, "", `"a" "b"`} {
			s.send(s.keyed(line)).requireProblem(t, http.StatusBadRequest, "key_invalid")
		}
		require.Zero(t, s.runs.Load())
		require.Zero(t, s.rows("a"))
	}
}

func nothingFollows(t *testing.T) {
	requireRefused(t, `"a" "b"`, `"a"b`, `"a", "b"`, `"a",`, `"a" ;`)
}

func stringIsClosed(t *testing.T) { requireRefused(t, `"a`, `"`, `"a\"`, `"a\`) }

func escapesAreTwo(t *testing.T) {
	requireRefused(t, `"a\n"`, `"\a"`, `"a\ "`, `"\u0041"`)
	s := served(t, idemhttp.Config{})
	s.send(s.keyed(`"\"\\"`)).requireCreated(t)
	require.Equal(t, 1, s.rows(`"\`))
}

func stringIsASCII(t *testing.T) {
	requireRefused(t, "\"caf\u00e9\"", "\"\xff\"", "\"a\tb\"", "caf\u00e9")
}
