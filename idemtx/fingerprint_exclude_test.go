package idemtx_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func TestExcludedMembersMakeNoDifference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		exclude []string
		rest    string
	}{
		"a member":                {`{"a":1,"b":2}`, []string{"b"}, `{"a":1}`},
		"an escaped name":         {`{"a":1,"\u0062":2}`, []string{"b"}, `{"a":1}`},
		"the whole subtree":       {`{"a":1,"b":{"c":[1,2]}}`, []string{"b"}, `{"a":1}`},
		"all members":             {`{"a":1}`, []string{"a"}, `{}`},
		"a path":                  {`{"a":{"b":{"c":1,"d":2}}}`, []string{"a.b.c"}, `{"a":{"b":{"d":2}}}`},
		"the last of an object":   {`{"a":{"b":1}}`, []string{"a.b"}, `{"a":{}}`},
		"a name with a dot":       {`{"a.b":1,"c":2}`, []string{"a.b"}, `{"c":2}`},
		"a name and a path":       {`{"a.b":1,"a":{"b":2,"c":3}}`, []string{"a.b"}, `{"a":{"c":3}}`},
		"a dot in a nested name":  {`{"a":{"b.c":1,"b":{"c":2}}}`, []string{"a.b.c"}, `{"a":{"b":{}}}`},
		"a path past a dot":       {`{"a.b":{"c":1,"d":2}}`, []string{"a.b.c"}, `{"a.b":{"d":2}}`},
		"a longer name":           {`{"ab":1,"a":2}`, []string{"a"}, `{"ab":1}`},
		"a member and its inside": {`{"a":{"b":1},"c":2}`, []string{"a.b", "a"}, `{"c":2}`},
		"two paths":               {`{"a":{"b":1,"c":2,"d":3}}`, []string{"a.b", "a.c"}, `{"a":{"d":3}}`},
		"an empty name":           {`{"":1,"a":{"":2}}`, []string{"a."}, `{"":1,"a":{}}`},
		"below an empty name":     {`{"":{"a":1,"b":2}}`, []string{".a"}, `{"":{"b":2}}`},
		"spelling of what stays":  {`{ "t":1, "n": 1.0, "s": "\u0041" }`, []string{"t"}, `{"n":1,"s":"A"}`},
		"large integers stay":     {`{"t":1,"n":9007199254740993}`, []string{"t"}, `{"n":9007199254740993}`},

		"a missing member":   {`{"a":1}`, []string{"b"}, `{"a":1}`},
		"another case":       {`{"a":1}`, []string{"A"}, `{"a":1}`},
		"a missing path":     {`{"a":{"b":1}}`, []string{"a.c", "b", "a.b.c", "c.b"}, `{"a":{"b":1}}`},
		"nothing in a null":  {`{"a":null}`, []string{"a.b"}, `{"a":null}`},
		"nothing in arrays":  {`{"a":[{"b":1}]}`, []string{"a.b", "a.0", "a.0.b"}, `{"a":[{"b":1}]}`},
		"not a deeper name":  {`{"a":{"b":1},"b":2}`, []string{"b"}, `{"a":{"b":1}}`},
		"not by a dash":      {`{"a":{"b":1}}`, []string{"a-b", "ab", "aab"}, `{"a":{"b":1}}`},
		"a pointer is none":  {`{"a":{"b":1}}`, []string{"/a/b"}, `{"a":{"b":1}}`},
		"an object is empty": {`{}`, []string{"a"}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := digest("POST /orders", 'j', c.rest)
			require.Equal(t, want, ofJSON(t, c.text, c.exclude...))

			var value any
			require.NoError(t, json.Unmarshal([]byte(c.text), &value))
			if name != "large integers stay" { // encoding/json rounds them
				require.Equal(t, want, fingerprint(t, "POST /orders", value, c.exclude...))
			}
		})
	}
}

func TestOrderAndRepetitionOfExcludeMakeNoDifference(t *testing.T) {
	t.Parallel()
	const text = `{"a":1,"b":{"c":2,"d":3},"e":4}`
	want := digest("POST /orders", 'j', `{"b":{"d":3},"e":4}`)
	require.Equal(t, want, ofJSON(t, text, "a", "b.c"))
	require.Equal(t, want, ofJSON(t, text, "b.c", "a"))
	require.Equal(t, want, ofJSON(t, text, "a", "b.c", "a", "b.c"))
}

func TestExcludeNeedsAnObjectAndNames(t *testing.T) {
	t.Parallel()
	const (
		object = "Exclude needs a payload that is a JSON object"
		entry  = "an entry of Exclude must be valid UTF-8 and not empty"
	)
	for name, c := range map[string]struct {
		payload any
		exclude []string
		text    string
	}{
		"raw":          {idemtx.Raw(`{"a":1}`), []string{"a"}, "Exclude needs a JSON payload, and this one is Raw"},
		"array":        {json.RawMessage(`[{"a":1}]`), []string{"a"}, object},
		"string":       {"secret", []string{"a"}, object},
		"nil":          {nil, []string{"a"}, object},
		"empty entry":  {json.RawMessage(`{"a":1}`), []string{"a", ""}, entry},
		"broken UTF-8": {json.RawMessage(`{"a":1}`), []string{"\xff"}, entry},
		"inside what is excluded": {
			json.RawMessage(`{"a":{"b":[1e400]}}`), []string{"a"}, "payload at /a/b/0: the number is too large for a float64",
		},
		"excluded twice": {
			json.RawMessage(`{"a":1,"a":2}`), []string{"a"}, "payload at /a: the member name occurs twice",
		},
		"excluded twice inside": {
			json.RawMessage(`{"a":{"b":[{"c":1,"\u0063":2}]}}`), []string{"a"}, "payload at /a/b/0/c: the member name occurs twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := idemtx.FingerprintOf("", c.payload, c.exclude...)
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			require.EqualError(t, err, "idemtx: invalid request: "+c.text)
		})
	}
}
