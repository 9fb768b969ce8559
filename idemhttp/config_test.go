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

// TestAKeyFormatIsOfTheWholeKey, without anchors and with alternatives.
func TestAKeyFormatIsOfTheWholeKey(t *testing.T) {
	t.Parallel()
	c := Config{KeyFormat: regexp.MustCompile(`[0-9]{4}|x`)}.withDefaults()
	for key, want := range map[string]bool{"1234": true, "x": true, "12345": false, "a1234": false, "xx": false, "1234\n": false} {
		require.Equal(t, want, c.takes(key), key)
	}
	c = Config{}.withDefaults()
	require.True(t, c.takes("anything"))
}
