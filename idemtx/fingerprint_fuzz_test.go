package idemtx_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// longNumber finds the integers that the oracle rounds.
var longNumber = regexp.MustCompile(`[0-9]{16}`)

func FuzzFingerprint(f *testing.F) {
	for _, text := range []string{
		`{"currency":"EUR","amount":1e2,"items":[{"sku":"A-1","price":9.50}]}`,
		`{"a":{"b":{"c":-0}},"a.b":{"c":[]},"":{"":"\ud83d\ude42"}}`,
		`[9007199254740993,1E400,1e-400,-0.0,0.1e1]`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `[1,]`, `1 2`, ``, nested(257),
	} {
		f.Add([]byte(text), "POST /orders", "a.b.c")
		f.Add([]byte(text), "", "items")
	}
	f.Fuzz(func(t *testing.T, text []byte, operation, path string) {
		before := bytes.Clone(text)
		fingerprint, err := idemtx.FingerprintOf(operation, json.RawMessage(text))
		again, errAgain := idemtx.FingerprintOf(operation, json.RawMessage(text))
		excluded, errExcluded := idemtx.FingerprintOf(operation, json.RawMessage(text), path)
		require.Equal(t, before, text)
		require.Equal(t, fingerprint, again)
		require.Equal(t, err, errAgain)
		if err != nil {
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			require.ErrorIs(t, errExcluded, idemtx.ErrInvalidRequest)
			require.Zero(t, fingerprint)
			return
		}

		value := decoded(t, text)
		requireSame(t, fingerprint, operation, value)
		requireSame(t, fingerprint, operation, json.RawMessage(respelled(t, value)))
		if !longNumber.Match(text) {
			require.Equal(t, digest(operation, 'j', oracle(t, string(text))), fingerprint)
		}
		if object, ok := value.(map[string]any); ok && errExcluded == nil {
			remove(object, path)
			requireSame(t, excluded, operation, object)
		}
	})
}

func requireSame(t *testing.T, want idemtx.Fingerprint, operation string, payload any) {
	t.Helper()
	got, err := idemtx.FingerprintOf(operation, payload)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value))
	return value
}

// respelled writes value with its members in reverse order and white space
// wherever there may be some.
func respelled(t *testing.T, value any) string {
	t.Helper()
	const space = " \r\n\t"
	var parts []string
	switch value := value.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(value))
		slices.Reverse(names)
		for _, name := range names {
			parts = append(parts, respelled(t, name)+":"+respelled(t, value[name]))
		}
		return space + "{" + space + strings.Join(parts, ",") + "}" + space
	case []any:
		for _, element := range value {
			parts = append(parts, respelled(t, element))
		}
		return space + "[" + space + strings.Join(parts, ",") + "]" + space
	}
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return space + string(text) + space
}

// remove takes path apart at its dots, where the code under test goes by the
// names of the members.
func remove(object map[string]any, path string) {
	for i := range len(path) {
		if inner, ok := object[path[:i]].(map[string]any); ok && path[i] == '.' {
			remove(inner, path[i+1:])
		}
	}
	delete(object, path)
}
