package idemtink_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/idemtx/idemtx/idemtink"
)

func newKeys(t *testing.T) *keyset.Handle {
	t.Helper()
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	return keys
}

func newCodec(t *testing.T, keys *keyset.Handle) *idemtink.Codec {
	t.Helper()
	codec, err := idemtink.New(keys)
	require.NoError(t, err)
	return codec
}

func TestSealsAndOpens(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	codec := newCodec(t, keys)
	sealed, keyID, err := codec.Seal(t.Context(), []byte("reply"), []byte("row"))
	require.NoError(t, err)
	primary, err := keys.Primary()
	require.NoError(t, err)
	require.Equal(t, strconv.FormatUint(uint64(primary.KeyID()), 10), keyID)
	require.NotContains(t, string(sealed), "reply")

	opened, err := codec.Open(t.Context(), sealed, keyID, []byte("row"))
	require.NoError(t, err)
	require.Equal(t, "reply", string(opened))

	_, err = codec.Open(t.Context(), sealed, keyID, []byte("another row"))
	require.Error(t, err)
	_, err = newCodec(t, newKeys(t)).Open(t.Context(), sealed, keyID, []byte("row"))
	require.Error(t, err)
	again, _, err := codec.Seal(t.Context(), []byte("reply"), []byte("row"))
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "two rows with one reply must not look alike")
}

// TestRotation is the two steps of New's comment.
func TestRotation(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	before := newCodec(t, keys)
	manager := keyset.NewManagerFromHandle(keys)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	added, err := manager.Handle()
	require.NoError(t, err)
	between := newCodec(t, added)
	require.NoError(t, manager.SetPrimary(id))
	promoted, err := manager.Handle()
	require.NoError(t, err)
	after := newCodec(t, promoted)

	old, oldID, err := before.Seal(t.Context(), []byte("reply"), nil)
	require.NoError(t, err)
	_, keyID, err := between.Seal(t.Context(), []byte("reply"), nil)
	require.NoError(t, err)
	require.Equal(t, oldID, keyID)
	young, keyID, err := after.Seal(t.Context(), []byte("reply"), nil)
	require.NoError(t, err)
	require.Equal(t, strconv.FormatUint(uint64(id), 10), keyID)
	for _, sealed := range [][]byte{old, young} {
		for _, codec := range []*idemtink.Codec{between, after} {
			opened, err := codec.Open(t.Context(), sealed, "", nil)
			require.NoError(t, err)
			require.Equal(t, "reply", string(opened))
		}
	}
}

func TestNewRefusesOtherKeys(t *testing.T) {
	t.Parallel()
	_, err := idemtink.New(nil)
	require.EqualError(t, err, "idemtink: the keyset is nil")
	signing, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	_, err = idemtink.New(signing)
	require.ErrorContains(t, err, "idemtink: ")
}
