package snippets

import (
	"crypto/rand"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/idemtx/idemtx/idemtink"
	"github.com/idemtx/idemtx/idemtx"
)

func newSealedStore(pool *pgxpool.Pool, keys *keyset.Handle, secret []byte) (*idemtx.Store, error) {
	codec, err := idemtink.New(keys)
	if err != nil {
		return nil, err
	}
	return idemtx.New(pool, idemtx.Config{Codec: codec, KeySecret: secret})
}

func newSecret(t *testing.T) []byte {
	t.Helper()
	secret := make([]byte, 32)
	_, err := rand.Read(secret)
	require.NoError(t, err)
	return secret
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	secret := newSecret(t)
	store, err := newSealedStore(newPool(t), keys, secret)
	require.NoError(t, err)
	require.NoError(t, store.CreateSchema(t.Context()))
	for i := range 2 {
		reply, err := idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
		require.NoError(t, err)
		require.Equal(t, "lamp", reply.Value)
		require.Equal(t, i == 1, reply.Replayed)
	}
	require.True(t, ask[bool](t, store.Pool(), "SELECT key ~ '^h1:[0-9a-f]{64}$' AND sealed AND body IS NOT NULL FROM idemtx_replies"))
	require.False(t, ask[bool](t, store.Pool(), "SELECT idemtx_replies::text LIKE '%lamp%' FROM idemtx_replies"))

	// Without the codec the reply does not open, and nothing runs.
	blind, err := idemtx.New(store.Pool(), idemtx.Config{KeySecret: secret})
	require.NoError(t, err)
	_, err = idemtx.Do(t.Context(), blind, request("order", "k", 1), lamp)
	require.Error(t, err)

	// Under another secret every key is new.
	other, err := newSealedStore(store.Pool(), keys, newSecret(t))
	require.NoError(t, err)
	reply, err := idemtx.Do(t.Context(), other, request("order", "k", 1), lamp)
	require.NoError(t, err)
	require.False(t, reply.Replayed)
}

// A reply that was stored in the clear is replayed by a store with a codec; one that is
// copied to another key does not open there.
func TestEncryptionOfWhatIsThere(t *testing.T) {
	t.Parallel()
	plain := newStore(t, idemtx.Config{})
	_, err := idemtx.Do(t.Context(), plain, request("order", "k", 1), lamp)
	require.NoError(t, err)
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	sealed, err := newSealedStore(plain.Pool(), keys, nil)
	require.NoError(t, err)
	reply, err := idemtx.Do(t.Context(), sealed, request("order", "k", 1), lamp)
	require.NoError(t, err)
	require.True(t, reply.Replayed)

	_, err = idemtx.Do(t.Context(), sealed, request("order", "a", 1), lamp)
	require.NoError(t, err)
	run(t, plain.Pool(), "UPDATE idemtx_replies SET key = 'b' WHERE key = 'a'")
	_, err = idemtx.Do(t.Context(), sealed, request("order", "b", 1), lamp)
	require.Error(t, err)
}

// What the server logs of parameters by default.
func TestEncryptionAndTheLog(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for name, value := range map[string]string{"log_parameter_max_length": "-1", "log_parameter_max_length_on_error": "0"} {
		require.Equal(t, value, ask[string](t, pool, "SELECT boot_val FROM pg_settings WHERE name = $1", name))
	}
}
