package idemhttp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

func TestParseKeyTakesBothSpellings(t *testing.T) {
	t.Parallel()
	for spelled, key := range map[string]string{
		`8e03978e-40d5-43dd-bc93-6894a57f9324`:   "8e03978e-40d5-43dd-bc93-6894a57f9324",
		`"8e03978e-40d5-43dd-bc93-6894a57f9324"`: "8e03978e-40d5-43dd-bc93-6894a57f9324",
		`  padded	`:                              "padded",
		`  "padded"  `:                           "padded",
		`two words`:                              "two words",
		`" a "`:                                  " a ",
		`"a, b; c"`:                              "a, b; c",
		`"say \"so\""`:                           `say "so"`,
		`"back\\slash"`:                          `back\slash`,
		`back\slash`:                             `back\slash`,
		`"\\\""`:                                 `\"`,
		`:cHJldHR5:`:                             ":cHJldHR5:",
		`?1`:                                     "?1",
		strings.Repeat("k", 255):                 strings.Repeat("k", 255),
		`"` + strings.Repeat(`\"`, 255) + `"`:    strings.Repeat(`"`, 255),
	} {
		got, err := idemhttp.ParseKey([]string{spelled})
		require.NoError(t, err, spelled)
		require.Equal(t, key, got)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule   string
		values []string
	}{
		{"is missing", nil},
		{"is there more than once", []string{"a", "b"}},
		{"is there more than once", []string{"a", "a"}},
		{"is empty", []string{""}},
		{"is empty", []string{"  "}},
		{"is empty", []string{`""`}},
		{"has more than 255 bytes", []string{strings.Repeat("k", 256)}},
		{"has more than 255 bytes", []string{`"` + strings.Repeat("k", 256) + `"`}},
		{"holds a byte that is not printable ASCII", []string{"schlüssel"}},
		{"holds a byte that is not printable ASCII", []string{"a\x00b"}},
		{"holds a byte that is not printable ASCII", []string{"a\tb"}},
		{"holds a byte that is not printable ASCII", []string{"a\x7f"}},
		{"holds a byte that is not printable ASCII", []string{"\"a\xff\""}},
		{"holds a byte that is not printable ASCII", []string{"\"a\nb\""}},
		{"is a list, has a parameter, or holds a quote", []string{"a, b"}},
		{"is a list, has a parameter, or holds a quote", []string{"a;b=1"}},
		{"is a list, has a parameter, or holds a quote", []string{`a"`}},
		{"is a list, or has a parameter", []string{`"a", "b"`}},
		{"is a list, or has a parameter", []string{`"a";b=1`}},
		{"is a list, or has a parameter", []string{`"a"b`}},
		{"has no closing quote", []string{`"`}},
		{"has no closing quote", []string{`"a`}},
		{"has no closing quote", []string{`"a\"`}},
		{"escapes what needs no escape", []string{`"a\`}},
		{"escapes what needs no escape", []string{`"a\n"`}},
	} {
		key, err := idemhttp.ParseKey(test.values)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest, test.values)
		require.EqualError(t, err, "idemtx: invalid request: the Idempotency-Key header "+test.rule, test.values)
		require.Empty(t, key)
	}
}

// quoted spells a key as RFC 9651 does.
func quoted(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", "a", `"a"`, `"a\"b"`, `"a\\"`, `"a";p=1`, `a,b`, "\"\x00\"", `"a" "b"`, ` "a`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := idemhttp.ParseKey([]string{value})
		if err != nil {
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			require.Empty(t, key)
			return
		}
		require.Regexp(t, `^[ -~]{1,255}$`, key)
		again, err := idemhttp.ParseKey([]string{quoted(key)})
		require.NoError(t, err)
		require.Equal(t, key, again)
		if trimmed := strings.Trim(value, " \t"); trimmed[0] == '"' {
			require.Equal(t, quoted(key), trimmed, "a key has one quoted spelling")
		} else {
			require.Equal(t, key, trimmed)
		}
	})
}
