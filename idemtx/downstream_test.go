package idemtx_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

func mustScope(tb testing.TB, tenant, principal string, more ...string) scope.Scope {
	tb.Helper()
	s, err := scope.New(tenant, principal, more...)
	require.NoError(tb, err)
	return s
}

func downstreamKey(tb testing.TB, whose scope.Scope, key, step string) string {
	tb.Helper()
	downstream, err := idemtx.DownstreamKey(idemtx.Request{Scope: whose, Key: key}, step)
	require.NoError(tb, err)
	require.Regexp(tb, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, downstream)
	return downstream
}

// A release that computes another one of these charges once more for a request
// whose charge was undone here under an older release.
func TestDownstreamKeyIsFrozen(t *testing.T) {
	t.Parallel()
	alice := mustScope(t, "acme", "alice")
	for name, c := range map[string]struct {
		whose     scope.Scope
		key, step string
		want      string
	}{
		"a UUID": {
			alice, "8e03978e-40d5-43dd-bc93-6894a57f9324", "charge",
			"cd0f9ee1-6988-8433-9f2d-9666d17f8f7e",
		},
		"as much as HMAC takes for its key": {
			alice, strings.Repeat("k", 64), strings.Repeat("s", 255),
			"e491c1cc-765f-8746-9068-8406d2901646",
		},
		"more than that": {
			alice, strings.Repeat("k", 65), strings.Repeat("s", 255),
			"e2da2067-ca91-82db-bbf9-9a198611313e",
		},
		"the longest key": {
			mustScope(t, "", "alice"), strings.Repeat("k", 255), "c",
			"8f494984-8640-82d3-8c54-80552d605a66",
		},
		"three parts, and no ASCII": {
			mustScope(t, "", "المتجر", "zweite Filiale"), " ~", "Überweisung",
			"4dd6120c-ce8e-8ed8-a422-7d153aa322e5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, downstreamKey(t, c.whose, c.key, c.step))
		})
	}
}

// What a client corrects under a key must not be charged beside what it has
// asked for first.
func TestDownstreamKeyIsTheSameForAnotherRequestUnderTheKey(t *testing.T) {
	t.Parallel()
	alice := newScope(t)
	want := downstreamKey(t, alice, "key", "charge")
	got, err := idemtx.DownstreamKey(idemtx.Request{
		Scope: alice, Key: "key",
		Operation: "POST /orders", Payload: map[string]any{"quantity": 2}, Exclude: []string{"quantity"},
		TTL: 1, OnDuplicate: idemtx.Refuse,
	}, "charge")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Wherever one text is cut into scope, key and step, the key is another.
func TestDownstreamKeyKnowsWhereItsPartsEnd(t *testing.T) {
	t.Parallel()
	const text = "aaaaaaaaaaaa"
	seen := make(map[string]string)
	for i := 1; i < len(text)-1; i++ {
		for j := i + 1; j < len(text); j++ {
			cut := text[:i] + "|" + text[i:j] + "|" + text[j:]
			key := downstreamKey(t, mustScope(t, "", text[:i]), text[i:j], text[j:])
			require.Empty(t, seen[key], cut)
			seen[key] = cut
		}
	}
	require.Len(t, seen, 55)
}

// Whoever asks without a request gets no key, which everybody would share.
func TestDownstreamKeyIsRefused(t *testing.T) {
	t.Parallel()
	const rule = "idemtx: invalid request: the step must be valid UTF-8 of 1 to 255 bytes"
	alice := newScope(t)
	for name, c := range map[string]struct {
		request idemtx.Request
		step    string
		want    string
	}{
		"the zero request": {idemtx.Request{}, "charge", "idemtx: invalid request: there is no scope: make one with scope.New"},
		"no scope":         {idemtx.Request{Key: "key"}, "charge", "idemtx: invalid request: there is no scope: make one with scope.New"},
		"no key":           {idemtx.Request{Scope: alice}, "charge", "idemtx: invalid request: there is no key"},
		"a key of control characters": {
			idemtx.Request{Scope: alice, Key: "a\x1fb"},
			"charge",
			"idemtx: invalid request: the key holds a byte that is not printable ASCII",
		},
		"a long key": {
			idemtx.Request{Scope: alice, Key: strings.Repeat("k", 256)},
			"charge",
			"idemtx: invalid request: the key has more than 255 bytes",
		},
		"no step":            {idemtx.Request{Scope: alice, Key: "key"}, "", rule},
		"a long step":        {idemtx.Request{Scope: alice, Key: "key"}, strings.Repeat("s", 256), rule},
		"a step that is not": {idemtx.Request{Scope: alice, Key: "key"}, "charge\xff", rule},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := idemtx.DownstreamKey(c.request, c.step)
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			require.EqualError(t, err, c.want)
			require.Empty(t, key)
		})
	}
}

// Two keys are one only if scope, key and step are, and the encoding, written
// down a second time, is what they are made of.
func FuzzDownstreamKey(f *testing.F) {
	f.Add("alice", "key", "charge", "alic", "key", "echarge")
	f.Add("alice", "key", "charge", "alice", "key\x00", "charge")
	f.Add("a", strings.Repeat("k", 65), "charge", "a", "k", "charge")
	f.Add("a", "k", "", "a", "k", "\xff")
	f.Fuzz(func(t *testing.T, principal1, key1, step1, principal2, key2, step2 string) {
		first, err1 := fuzzedDownstreamKey(principal1, key1, step1)
		second, err2 := fuzzedDownstreamKey(principal2, key2, step2)
		for _, err := range []error{err1, err2} {
			if err != nil {
				require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
			}
		}
		if err1 == nil {
			require.Equal(t, downstreamOracle(principal1, key1, step1), first)
		}
		if err1 == nil && err2 == nil {
			same := principal1 == principal2 && key1 == key2 && step1 == step2
			require.Equal(t, same, first == second)
		}
	})
}

func fuzzedDownstreamKey(principal, key, step string) (string, error) {
	whose, err := scope.New("", principal)
	if err != nil {
		return "", err
	}
	return idemtx.DownstreamKey(idemtx.Request{Scope: whose, Key: key}, step)
}

func downstreamOracle(principal, key, step string) string {
	message := []byte("idemtx downstream key v1")
	message = binary.BigEndian.AppendUint64(message, uint64(len(principal)))
	message = append(message, principal...)
	message = binary.BigEndian.AppendUint64(message, uint64(len(step)))
	message = append(message, step...)
	secret := sha256.Sum256([]byte(key))
	h := hmac.New(sha256.New, secret[:])
	h.Write(message)
	id := []byte(hex.EncodeToString(h.Sum(nil)[:16]))
	id[12] = '8'
	id[16] = "89ab89ab89ab89ab"[strings.IndexByte("0123456789abcdef", id[16])]
	return strings.Join([]string{string(id[:8]), string(id[8:12]), string(id[12:16]), string(id[16:20]), string(id[20:])}, "-")
}
