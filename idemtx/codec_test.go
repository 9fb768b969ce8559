package idemtx

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/scope"
)

// codec is what a test has a store seal and open with.
type codec struct {
	seal func(plaintext, associated []byte) ([]byte, string, error)
	open func(sealed []byte, keyID string, associated []byte) ([]byte, error)
}

func (c codec) Seal(_ context.Context, plaintext, associated []byte) ([]byte, string, error) {
	return c.seal(plaintext, associated)
}

func (c codec) Open(_ context.Context, sealed []byte, keyID string, associated []byte) ([]byte, error) {
	return c.open(sealed, keyID, associated)
}

// What a reply is sealed as, and what it is bound to, must not change with a release.
func TestSealedReplyIsFrozen(t *testing.T) {
	t.Parallel()
	var plain, bound string
	s := unconnected(t, Config{Codec: codec{seal: func(plaintext, associated []byte) ([]byte, string, error) {
		plain, bound = hex.EncodeToString(plaintext), hex.EncodeToString(associated)
		return []byte{1}, "k", nil
	}}})
	id := keyID{"acme\x1ealice", "order-1"}
	d := draft{response: []byte("{}"), body: []byte("hi"), refused: true}
	require.NoError(t, s.seal(t.Context(), id, Fingerprint{1, 2}, &d))
	require.Equal(t, stored{response: []byte(`"k"`), body: []byte{1}, sealed: true}, d.stored)
	require.Equal(t, "0100000000000000027b7d6869", plain)
	require.Equal(t, hex.EncodeToString([]byte("idemtx sealed reply v1"))+
		"000000000000000a"+hex.EncodeToString([]byte("acme\x1ealice"))+
		"0000000000000007"+hex.EncodeToString([]byte("order-1"))+
		"0102"+strings.Repeat("00", 30)+"01", bound)
}

func TestSealedIsWhatIsOpened(t *testing.T) {
	t.Parallel()
	for _, d := range []draft{
		{response: []byte("null")},
		{response: []byte(`{"a":1}`), body: []byte{}},
		{response: []byte(`{"a":1}`), body: []byte("\x00body")},
		{response: []byte("1"), refused: true},
	} {
		var plain, bound []byte
		s := unconnected(t, Config{Codec: codec{
			seal: func(plaintext, associated []byte) ([]byte, string, error) {
				plain, bound = plaintext, associated
				return []byte("sealed"), "<key>", nil
			},
			open: func(sealed []byte, keyID string, associated []byte) ([]byte, error) {
				require.Equal(t, "sealed", string(sealed))
				require.Equal(t, "<key>", keyID)
				require.Equal(t, bound, associated)
				return plain, nil
			},
		}})
		id := keyID{"s", "k"}
		require.NoError(t, s.seal(t.Context(), id, Fingerprint{7}, &d))
		kept := &row{Fingerprint: (&Fingerprint{7})[:], Response: d.stored.response, Body: d.stored.body, Sealed: true, Refused: d.refused}
		opened, err := s.opened(t.Context(), id, kept)
		require.NoError(t, err)
		require.Equal(t, &row{Fingerprint: kept.Fingerprint, Response: d.response, Body: d.body, Refused: d.refused}, opened)
		require.True(t, kept.Sealed, "a row that is shared was changed")
	}
}

func TestACodecThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("secret")
	for name, sealing := range map[string]codec{
		"fails":         {seal: func([]byte, []byte) ([]byte, string, error) { return nil, "", broken }},
		"makes nothing": {seal: func([]byte, []byte) ([]byte, string, error) { return nil, "", nil }},
		"names no text": {seal: func([]byte, []byte) ([]byte, string, error) { return []byte{1}, "\xff", nil }},
		"names a nul":   {seal: func([]byte, []byte) ([]byte, string, error) { return []byte{1}, "\x00", nil }},
	} {
		err := unconnected(t, Config{Codec: sealing}).seal(t.Context(), keyID{"s", "k"}, Fingerprint{}, &draft{response: []byte("1")})
		// A failure may pass; the rest never does.
		require.Equal(t, name == "fails", errors.Is(err, errUnsealed), name)
		require.Equal(t, name == "fails", errors.Is(err, broken), name)
		require.Equal(t, name != "fails", errors.Is(err, ErrReplyNotStorable), name)
		require.NotContains(t, err.Error(), "secret", name)
	}
}

func TestWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	sealed := &row{Fingerprint: make([]byte, 32), Response: []byte(`"k"`), Body: []byte{1}, Sealed: true}
	opens := func(text string, err error) *Store {
		return unconnected(t, Config{Codec: codec{open: func([]byte, string, []byte) ([]byte, error) { return []byte(text), err }}})
	}
	for name, s := range map[string]*Store{
		"no codec":           unconnected(t, Config{}),
		"another key":        opens("", errors.New("secret")),
		"nothing":            opens("", nil),
		"too short":          opens("\x00\x00\x00\x00\x00\x00\x00\x01", nil),
		"longer than it is":  opens("\x00\x00\x00\x00\x00\x00\x00\x00\x03{}", nil),
		"of another release": opens("\x02\x00\x00\x00\x00\x00\x00\x00\x02{}", nil),
		"longer than int":    opens("\x00\xff\xff\xff\xff\xff\xff\xff\xff{}", nil),
	} {
		_, err := s.opened(t.Context(), keyID{"s", "k"}, sealed)
		require.ErrorIs(t, err, errSealed, name)
		require.NotContains(t, err.Error(), "secret", name)
	}
	_, err := opens("", nil).opened(t.Context(), keyID{}, &row{Response: []byte("{}"), Sealed: true})
	require.ErrorIs(t, err, errSealed)
}

// A row that nobody has sealed is replayed with a codec, too.
func TestPlainStaysPlain(t *testing.T) {
	t.Parallel()
	plain := &row{Response: []byte("{}")}
	opened, err := unconnected(t, Config{Codec: codec{}}).opened(t.Context(), keyID{}, plain)
	require.NoError(t, err)
	require.Same(t, plain, opened)
}

// A stored key must not change with a release: live rows would not be found.
func TestStoredKeyIsFrozen(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	secret := Secret(strings.Repeat("s", 32))
	found, err := unconnected(t, Config{KeySecret: secret}).Locate(alice, "order-1")
	require.NoError(t, err)
	require.Equal(t, "acme\x1ealice", found.Scope)
	require.Equal(t, "h1:172e533bc717740028114f8f3bcd7de82ef3df0d3623f5e94e66fd1184d20298", found.Key)
	require.Equal(t, keyLock("public", "idemtx_replies", keyID{found.Scope, found.Key}), found.Lock)

	plain, err := unconnected(t, Config{}).Locate(alice, "order-1")
	require.NoError(t, err)
	require.Equal(t, Location{Scope: "acme\x1ealice", Key: "order-1", Lock: -8318164694037242309}, plain)
	_, err = unconnected(t, Config{}).Locate(alice, "")
	require.ErrorIs(t, err, ErrInvalidRequest)
}

func TestStoredKeysDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, secret := range []string{"a", "b"} {
		for _, id := range []keyID{{"s", "k"}, {"sk", ""}, {"", "sk"}, {"k", "s"}} {
			seen[hashedKey(Secret(secret), id.scope, id.key)] = true
		}
	}
	require.Len(t, seen, 8)
}

// The secret is the store's: a caller that wipes its own does not change it.
func TestKeySecretIsCopied(t *testing.T) {
	t.Parallel()
	secret := Secret(strings.Repeat("s", 32))
	s := unconnected(t, Config{KeySecret: secret})
	before := s.idOf(scope.Scope{}, "k")
	clear(secret)
	require.Equal(t, before, s.idOf(scope.Scope{}, "k"))
}

func TestSecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	config := Config{KeySecret: Secret("in the clear")}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", slog.Any("secret", config.KeySecret), slog.Any("config", config))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", slog.Any("config", struct{ KeySecret Secret }{config.KeySecret}))
	text := fmt.Sprintf("%v %+v %#v %s %q %d %x", config, config, config, config.KeySecret, config.KeySecret, config.KeySecret, config.KeySecret) +
		log.String()
	require.Contains(t, text, "****")
	require.NotContains(t, text, "clear")
	require.NotContains(t, text, fmt.Sprintf("%d", []byte("in the clear")))
	require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("in the clear")))
	require.NotContains(t, text, hex.EncodeToString([]byte("in the clear")))
}
