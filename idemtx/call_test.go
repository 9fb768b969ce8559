package idemtx

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/scope"
)

// The numbers were computed by another program. They are frozen: a release that
// changes one does not exclude the calls of the release before.
func TestLockNumbersAreFrozen(t *testing.T) {
	t.Parallel()
	var ascending Fingerprint
	for i := range ascending {
		ascending[i] = byte(i)
	}
	for _, golden := range []struct {
		schema, table    string
		id               keyID
		key, zero, other int64
	}{
		{"public", "idemtx_replies", keyID{"acme\x1ealice", "order-1"}, -8318164694037242309, 1240258010669132514, -5112364014049637496},
		{"", "", keyID{}, 2827929986084183787, -1574539366039623767, 4875876086516340073},
		{"app", "order", keyID{"alice", strings.Repeat("~", 255)}, 4357938530496342743, -4113386317184715877, 3800980970970746707},
	} {
		key := keyLock(golden.schema, golden.table, golden.id)
		require.Equal(t, golden.key, key)
		require.Equal(t, golden.zero, fingerprintLock(key, Fingerprint{}))
		require.Equal(t, golden.other, fingerprintLock(key, ascending))
	}
}

// However the same bytes are dealt out among the four parts, it is another lock.
func TestLocksOfDifferentKeysDiffer(t *testing.T) {
	t.Parallel()
	const text = "aaaaaa\x00\x1e"
	seen := map[int64]string{}
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			for k := j; k <= len(text); k++ {
				parts := fmt.Sprintf("%q %q %q %q", text[:i], text[i:j], text[j:k], text[k:])
				lock := keyLock(text[:i], text[i:j], keyID{text[j:k], text[k:]})
				require.Empty(t, seen[lock], parts)
				seen[lock] = parts
			}
		}
	}
	require.Len(t, seen, 165)
}

func TestLocksOfOneKeyDifferByFingerprint(t *testing.T) {
	t.Parallel()
	seen := map[int64]bool{}
	for _, key := range []int64{0, 1, -1, math.MinInt64, math.MaxInt64} {
		for i := range len(Fingerprint{}) {
			var f Fingerprint
			f[i] = 1
			seen[fingerprintLock(key, f)] = true
		}
		seen[key] = true // nor is it the lock of the key itself
	}
	require.Len(t, seen, 5*33)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	its, another := Fingerprint{1}, Fingerprint{2}
	claimed := row{LeaseID: pgtype.UUID{Valid: true}}
	answered := row{Response: []byte("null")}
	retained := row{Retained: true}
	inFlight := &InFlightError{RetryAfter: 2500 * time.Millisecond}
	for name, c := range map[string]struct {
		row                  row
		live                 bool
		fingerprint          Fingerprint
		answers              bool
		rerun, refuseExpired error // the verdict, by policy
	}{
		"an answer":                    {row: answered, live: true, fingerprint: its, answers: true},
		"the answer to another":        {row: answered, live: true, fingerprint: another, rerun: ErrMismatch, refuseExpired: ErrMismatch},
		"a claim":                      {row: claimed, live: true, fingerprint: its, rerun: inFlight, refuseExpired: inFlight},
		"the claim of another":         {row: claimed, live: true, fingerprint: another, rerun: ErrMismatch, refuseExpired: ErrMismatch},
		"an expired answer":            {row: answered, fingerprint: its, refuseExpired: ErrExpired},
		"an expired answer to another": {row: answered, fingerprint: another, refuseExpired: ErrMismatch},
		"a key retained":               {row: retained, live: true, fingerprint: its, refuseExpired: ErrExpired},
		"a key retained for another":   {row: retained, live: true, fingerprint: another, refuseExpired: ErrMismatch},
		"a key retained long enough":   {row: retained, fingerprint: its, refuseExpired: ErrExpired},
		"a dead claim":                 {row: claimed, fingerprint: its},
		"the dead claim of another":    {row: claimed, fingerprint: another},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.row.Fingerprint = c.fingerprint[:]
			if c.live { // to the last instant, and not in it
				c.row.SecondsLeft = 2.5
			}
			var answer *row
			if c.answers {
				answer = &c.row
			}
			for policy, verdict := range map[Expired]error{Rerun: c.rerun, RefuseExpired: c.refuseExpired} {
				gotAnswer, gotVerdict := (&call{fingerprint: its}).judge(&c.row, policy)
				require.Same(t, answer, gotAnswer)
				require.Equal(t, verdict, gotVerdict)
			}
		})
	}
}

func TestNoRowIsAFreeKey(t *testing.T) {
	t.Parallel()
	for _, policy := range []Expired{Rerun, RefuseExpired} {
		answer, verdict := new(call).judge(nil, policy)
		require.Nil(t, answer)
		require.NoError(t, verdict)
	}
}

func TestInFlightErrorIsErrInFlight(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("orders: %w", &InFlightError{RetryAfter: 1500 * time.Millisecond})
	require.ErrorIs(t, err, ErrInFlight)
	require.NotErrorIs(t, err, ErrMismatch)
	require.EqualError(t, err, "orders: idemtx: a request with this key is in flight, try again in 1.5s")
}

func TestPrepareTakesTheDefaultsOfTheStore(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	store := unconnected(t, Config{
		Schema: "app", Table: "order", TTL: time.Hour, OnDuplicate: Refuse, MaxWait: 7 * time.Second,
	})
	synctest.Test(t, func(t *testing.T) {
		var c call
		require.NoError(t, store.prepare(&c, Request{Scope: alice, Operation: "POST /orders", Key: "order-1", Payload: 1}))
		fingerprint, err := FingerprintOf("POST /orders", 1)
		require.NoError(t, err)
		id := keyID{"acme\x1ealice", "order-1"}
		lock := keyLock("app", "order", id)
		require.Equal(t, call{
			id: id, scope: alice, fingerprint: fingerprint, ttl: time.Hour, refuse: true,
			deadline: time.Now().Add(7 * time.Second), keyLock: lock,
		}, c)
	})
}

func TestARequestPrevailsOverTheStore(t *testing.T) {
	t.Parallel()
	alice, err := scope.New("acme", "alice")
	require.NoError(t, err)
	store := unconnected(t, Config{OnDuplicate: Refuse})
	var c call
	require.NoError(t, store.prepare(&c, Request{Scope: alice, Key: "order-1", TTL: time.Minute, OnDuplicate: Wait}))
	require.Equal(t, time.Minute, c.ttl)
	require.False(t, c.refuse)
	require.NoError(t, unconnected(t, Config{}).prepare(&c, Request{Scope: alice, Key: "order-1", OnDuplicate: Refuse}))
	require.Equal(t, 24*time.Hour, c.ttl)
	require.True(t, c.refuse)
}

// TestAKeyOutlivesItsMemory: a framework may write its next request over it.
func TestAKeyOutlivesItsMemory(t *testing.T) {
	t.Parallel()
	memory := []byte("owner key")
	owner, err := scope.New("", unsafe.String(&memory[0], 5))
	require.NoError(t, err)
	id := new(Store).idOf(owner, unsafe.String(&memory[6], 3))
	copy(memory, "XXXXXXXXX")
	require.Equal(t, keyID{scope: "owner", key: "key"}, id)
}
