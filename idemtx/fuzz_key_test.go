package idemtx_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A key is accepted if and only if it is 1 to 255 bytes of printable ASCII, and
// no error quotes it.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		"", " ", "~", "order-1", "a\x1fb", "a\x7fb", "a\x00b", "ä", "\xff", "ordering\n", "ordеr-with-a-cyrillic-е",
		strings.Repeat("k", 255), strings.Repeat("k", 256), strings.Repeat("k", 255) + "\n",
	} {
		f.Add(key)
	}
	store, alice := newStore(f, idemtx.Config{}), newScope(f)
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	f.Fuzz(func(t *testing.T, key string) {
		printable := true
		for _, b := range []byte(key) {
			printable = printable && b >= 0x20 && b <= 0x7e
		}
		_, err := idemtx.Do(ctx, store, idemtx.Request{Scope: alice, Key: key}, doNothing)
		if printable && len(key) >= 1 && len(key) <= 255 {
			require.ErrorIs(t, err, context.Canceled) // the pool's
		} else {
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		}
		if !inEveryError(key) {
			require.NotContains(t, err.Error(), key)
		}
	})
}

// inEveryError tells that a key is a part of a text of idemtx's own, so that
// finding it in an error says nothing.
func inEveryError(key string) bool {
	const texts = "idemtx: invalid request: there is no key\n" +
		"idemtx: invalid request: the key has more than 255 bytes\n" +
		"idemtx: invalid request: the key holds a byte that is not printable ASCII\n" +
		"idemtx: connect: context canceled\n"
	return strings.Contains(texts, key)
}
