package scope_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/scope"
)

func FuzzNew(f *testing.F) {
	f.Add("acme", "alice", "", "", "acme", "alice")
	f.Add("a", "b", "c", "", "a", "b/c")
	f.Add("", "b", "", "", "b", "")
	f.Add("a\x1eb", "c", "", "a", "b\x1ec", "")
	f.Add("a", "b", "\xff", "a", "b", "\x00")
	f.Add(strings.Repeat("a", 1020), "b", "c", "a", "", "b//c")
	f.Fuzz(func(t *testing.T, tenantA, principalA, moreA, tenantB, principalB, moreB string) {
		a, b := list(tenantA, principalA, moreA), list(tenantB, principalB, moreB)
		scopeA, errA := scope.New(a[0], a[1], a[2:]...)
		scopeB, errB := scope.New(b[0], b[1], b[2:]...)
		checkMade(t, a, scopeA, errA)
		checkMade(t, b, scopeB, errB)
		if errA == nil && errB == nil {
			require.Equal(t, slices.Equal(a, b), scopeA.Key() == scopeB.Key())
			require.Equal(t, slices.Equal(a, b), scopeA == scopeB)
		}
	})
}

func list(tenant, principal, more string) []string {
	parts := []string{tenant, principal}
	if more != "" {
		parts = append(parts, strings.Split(more, "/")...)
	}
	return parts
}

var (
	refusal = regexp.MustCompile(`^idemtx: invalid request: scope: ` +
		`((tenant|principal|part \d+) must (not be empty|be valid UTF-8|not hold U\+001E, which separates the parts|not hold a control character)` +
		`|all parts together must have at most 1024 bytes)$`)
	logID   = regexp.MustCompile(`^sha256:[0-9a-f]{12}$`)
	address = regexp.MustCompile(`^\{+0x[0-9a-f]+\}+$`)
)

func checkMade(t *testing.T, parts []string, s scope.Scope, err error) {
	t.Helper()
	if err != nil {
		require.ErrorIs(t, err, scope.ErrInvalid)
		require.Regexp(t, refusal, err.Error())
		require.True(t, s.IsZero())
		return
	}
	require.Equal(t, parts, partsOf(s.Key()))
	require.LessOrEqual(t, len(s.Key()), scope.MaxLength)
	require.True(t, utf8.ValidString(s.Key()))
	require.False(t, strings.ContainsFunc(s.Key(), func(r rune) bool { return r != 0x1e && unicode.IsControl(r) }))

	require.Regexp(t, logID, s.String())
	require.Equal(t, s.String(), fmt.Sprint(s))
	require.Equal(t, s.String(), s.LogValue().String())
	require.Equal(t, "scope.Scope("+s.String()+")", fmt.Sprintf("%#v", s))
	require.Regexp(t, address, fmt.Sprintf("%v", struct{ hidden scope.Scope }{s}))
	text, err := s.MarshalText()
	require.NoError(t, err)
	require.Equal(t, s.String(), string(text))
}

// partsOf is the way back from a key. That there is one is why no two lists of
// parts share a key.
func partsOf(key string) []string {
	parts := strings.Split(key, "\x1e")
	if len(parts) == 1 {
		return []string{"", parts[0]}
	}
	return parts
}
