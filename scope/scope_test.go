package scope_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/scope"
)

func made(t *testing.T, tenant, principal string, more ...string) scope.Scope {
	t.Helper()
	s, err := scope.New(tenant, principal, more...)
	require.NoError(t, err)
	return s
}

// Rows are found by these bytes: when one changes, every live row is lost.
func TestKeyIsFrozen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		parts      []string
		key, logID string
	}{
		{[]string{"acme", "alice"}, "acme\x1ealice", "sha256:74f54243a662"},
		{[]string{"", "alice"}, "alice", "sha256:2bd806c97f0e"},
		{[]string{"acme", "alice", "account 7"}, "acme\x1ealice\x1eaccount 7", "sha256:7f8a8abb08a2"},
		{[]string{"", "alice", "account 7"}, "\x1ealice\x1eaccount 7", "sha256:ea244689ff74"},
		{[]string{"Ünïcode", "名前", "🙂"}, "Ünïcode\x1e名前\x1e🙂", "sha256:5688df1d7308"},
	} {
		s := made(t, c.parts[0], c.parts[1], c.parts[2:]...)
		require.Equal(t, c.key, s.Key())
		require.Equal(t, c.logID, s.LogID())
	}
}

func TestNewNamesTheRuleAndThePart(t *testing.T) {
	t.Parallel()
	const (
		empty   = "must not be empty"
		control = "must not hold a control character"
		joint   = "must not hold U+001E, which separates the parts"
		utf     = "must be valid UTF-8"
		long    = "all parts together must have at most 1024 bytes"
	)
	for name, c := range map[string]struct {
		parts []string
		text  string
	}{
		"no principal":                {[]string{"secret", ""}, "principal " + empty},
		"nothing":                     {[]string{"", ""}, "principal " + empty},
		"empty third part":            {[]string{"secret", "secret", ""}, "part 3 " + empty},
		"empty fourth part":           {[]string{"", "secret", "secret", ""}, "part 4 " + empty},
		"separator in tenant":         {[]string{"sec\x1eret", "secret"}, "tenant " + joint},
		"separator alone":             {[]string{"\x1e", "secret"}, "tenant " + joint},
		"separator in principal":      {[]string{"", "secret\x1e"}, "principal " + joint},
		"separator in third part":     {[]string{"secret", "secret", "\x1esecret"}, "part 3 " + joint},
		"separator and control":       {[]string{"\x00\x1esecret", "secret"}, "tenant " + joint},
		"U+0000":                      {[]string{"sec\x00ret", "secret"}, "tenant " + control},
		"line feed":                   {[]string{"secret", "secret\n"}, "principal " + control},
		"delete":                      {[]string{"secret", "secret", "\x7f"}, "part 3 " + control},
		"C1 control":                  {[]string{"secret", "secret\u0085"}, "principal " + control},
		"broken UTF-8":                {[]string{"secret\xff", "secret"}, "tenant " + utf},
		"surrogate":                   {[]string{"secret", "secret\xed\xa0\x80"}, "principal " + utf},
		"too long in one part":        {[]string{"", strings.Repeat("secret", 171)}, long},
		"too long with the separator": {[]string{strings.Repeat("s", 512), strings.Repeat("s", 512)}, long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := scope.New(c.parts[0], c.parts[1], c.parts[2:]...)
			require.ErrorIs(t, err, scope.ErrInvalid)
			require.EqualError(t, err, "idemtx: invalid request: scope: "+c.text)
			require.True(t, s.IsZero())
		})
	}
}

func TestLongestKey(t *testing.T) {
	t.Parallel()
	s := made(t, strings.Repeat("t", 512), strings.Repeat("p", 511))
	require.Len(t, s.Key(), scope.MaxLength)
}

func TestScopesAreEqualByTheirParts(t *testing.T) {
	t.Parallel()
	lists := [][]string{
		{"", "a"},
		{"", "ab"},
		{"a", "b"},
		{"", "a", "b"},
		{"a", "b", "c"},
		{"", "a", "b", "c"},
		{"ab", "c"},
		{"a", "bc"},
		{"A", "b"},
		{"a", "b "},
		{"e\u0301", "b"},
		{"\u00e9", "b"},
	}
	seen := map[scope.Scope]int{}
	for i, parts := range lists {
		seen[made(t, parts[0], parts[1], parts[2:]...)] = i
	}
	require.Len(t, seen, len(lists))
	for i, parts := range lists {
		clone := strings.Clone(parts[1]) // equal text at another address
		require.Equal(t, i, seen[made(t, parts[0], clone, parts[2:]...)])
	}
}

func TestZeroScopeIsNobody(t *testing.T) {
	t.Parallel()
	var s scope.Scope
	require.True(t, s.IsZero())
	require.Empty(t, s.Key())
	require.Equal(t, "sha256:e3b0c44298fc", s.LogID())
	require.False(t, made(t, "", "a").IsZero())
}

// holder stands for a caller's own types: fmt can call no method of a Scope in
// an unexported field and prints what the Scope is made of.
type holder struct {
	Public scope.Scope
	hidden scope.Scope
	nested struct{ scopes map[scope.Scope][]scope.Scope }
}

type embedded struct{ scope.Scope }

func TestScopeNeverPrintsWhoItIs(t *testing.T) {
	t.Parallel()
	s := made(t, "TENANT", "PRINCIPAL", "ACCOUNT")
	h := holder{Public: s, hidden: s}
	h.nested.scopes = map[scope.Scope][]scope.Scope{s: {s, s}}
	values := []any{
		s, &s,
		[]scope.Scope{s},
		map[scope.Scope]int{s: 1},
		map[string]*scope.Scope{"s": &s},
		h, &h,
		[]holder{h},
		[]*holder{&h},
		embedded{s},
		&embedded{s},
		struct{ any }{s},
		fmt.Errorf("%v", h),
	}
	for _, verb := range strings.Split("vTtbcdoOqxXUeEfFgGsp", "") {
		for _, flags := range []string{"", "+", "#", " ", "-40", "040", "+#", ".3"} {
			for _, value := range values {
				requireSilent(t, fmt.Sprintf("%"+flags+verb, value))
			}
		}
	}
	for _, value := range values {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		requireSilent(t, string(text))

		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", slog.Any("value", value))
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", slog.Any("value", value))
		requireSilent(t, log.String())
	}
}

// requireSilent looks for each part as it is, and in the hex that %x makes of it.
func requireSilent(t *testing.T, output string) {
	t.Helper()
	output = strings.NewReplacer(" ", "", "0x", "", "0X", "").Replace(strings.ToLower(output))
	for _, part := range []string{"tenant", "principal", "account"} {
		require.NotContains(t, output, part)
		require.NotContains(t, output, fmt.Sprintf("%x", part))
		require.NotContains(t, output, fmt.Sprintf("%x", strings.ToUpper(part)))
	}
}

func TestScopePrintsItsLogID(t *testing.T) {
	t.Parallel()
	s := made(t, "acme", "alice")
	id := s.LogID()
	require.Equal(t, id, s.String())
	for format, want := range map[string]string{
		"%v": id, "%+v": id, "%s": id, "%q": `"` + id + `"`, "%#v": "scope.Scope(" + id + ")",
	} {
		require.Equal(t, want, fmt.Sprintf(format, s))
		require.Equal(t, want, fmt.Sprintf(format, &s))
	}
	require.Equal(t, "{"+id+"}", fmt.Sprint(struct{ S scope.Scope }{s}))

	text, err := json.Marshal(map[scope.Scope]any{s: struct{ S *scope.Scope }{&s}})
	require.NoError(t, err)
	require.JSONEq(t, `{"`+id+`":{"S":"`+id+`"}}`, string(text))

	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("", slog.Any("scope", s))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", slog.Any("scope", s))
	require.Contains(t, log.String(), "scope="+id+"\n")
	require.Contains(t, log.String(), `"scope":"`+id+`"`)
}
