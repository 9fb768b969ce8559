package idemhttp

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeadersThatAreStored(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"},
		"Etag": {"1"}, "x-request-id": {"1"}, "Location": {"/1"},
	}
	for name, test := range map[string]struct {
		config Config
		gone   []string
	}{
		"by default":     {Config{}, nil},
		"allowed":        {Config{AllowHeaders: []string{"etag", "X-REQUEST-ID"}}, []string{"Location"}},
		"none allowed":   {Config{AllowHeaders: []string{}}, []string{"Etag", "x-request-id", "Location"}},
		"denied":         {Config{DenyHeaders: []string{"X-Request-Id"}}, []string{"x-request-id"}},
		"of the body":    {Config{DenyHeaders: []string{"content-encoding", "Content-Type"}}, nil},
		"denied, though": {Config{AllowHeaders: []string{"Etag"}, DenyHeaders: []string{"Etag"}}, []string{"Etag", "x-request-id", "Location"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := header.Clone()
			for _, name := range test.gone {
				delete(want, name)
			}
			c := test.config.withDefaults()
			require.Equal(t, want, c.storable(header))
		})
	}
}

// TestAKeyFormatIsOfTheWholeKey, without anchors, and whichever alternative comes
// first.
func TestAKeyFormatIsOfTheWholeKey(t *testing.T) {
	t.Parallel()
	for format, keys := range map[string]map[string]bool{
		`[0-9]{4}|x`: {"1234": true, "x": true, "12345": false, "a1234": false, "xx": false, "x1234": false},
		`a|ab`:       {"a": true, "ab": true, "abb": false},
		`^[a-z]+$`:   {"ab": true, "ab1": false},
		`\Qa.b`:      {"a.b": true, "axb": false},
		`(?i)ab`:     {"AB": true},
	} {
		given := regexp.MustCompile(format)
		c := Config{KeyFormat: given}.withDefaults()
		for key, want := range keys {
			require.Equal(t, want, c.takes(key), "%s %s", format, key)
		}
		require.Equal(t, regexp.MustCompile(format), given, "it is the caller's")
	}
	c := Config{}.withDefaults()
	require.True(t, c.takes("anything"))
}
