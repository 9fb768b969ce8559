package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemcache"
	"github.com/idemtx/idemtx/idemtx"
)

// keeping is a reply that hands out its memory, and keeps what it is given.
type keeping struct {
	response json.RawMessage
	body     []byte
}

func (k keeping) MarshalReply() (json.RawMessage, []byte, error) { return k.response, k.body, nil }

func (k *keeping) UnmarshalReply(response json.RawMessage, body []byte) error {
	k.response, k.body = response, body
	return nil
}

// blot changes bytes for everybody who has them.
func blot(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

// Nobody can change what is in the cache: not with what the handler has returned,
// and not with what a caller was given.
func TestCachedBytesAreNobodysElse(t *testing.T) {
	t.Parallel()
	const body = "\x00\xff\r\nbody"
	f := newFixture(t, withCache(new(ledger)))
	peer := f.peer(withCache(new(ledger)))
	for _, mode := range []string{"Do", "DoPool"} {
		do := func(f *fixture, value keeping) keeping {
			var reply idemtx.Reply[keeping]
			var err error
			if mode == "Do" {
				reply, err = idemtx.Do(t.Context(), f.store, f.request(mode), func(context.Context, pgx.Tx) (keeping, error) { return value, nil })
			} else {
				reply, err = idemtx.DoPool(t.Context(), f.store, f.request(mode), func(context.Context) (keeping, error) { return value, nil })
			}
			require.NoError(t, err)
			return reply.Value
		}
		value := keeping{json.RawMessage(`{"a": [1, 2]}`), []byte(body)}
		given := do(f, value)
		blot(value.response)
		blot(value.body)
		for _, f := range []*fixture{f, f, peer, peer, f} {
			require.JSONEq(t, `{"a": [1, 2]}`, string(given.response))
			require.Equal(t, body, string(given.body))
			blot(given.response)
			blot(given.body)
			given = do(f, keeping{})
		}
	}
	f.pool.Close()
	peer.pool.Close()
	for _, f := range []*fixture{f, peer} {
		reply, err := idemtx.DoPool(t.Context(), f.store, f.request("Do"), func(context.Context) (keeping, error) { panic("it runs") })
		require.NoError(t, err)
		require.Equal(t, body, string(reply.Value.body))
	}
}

// JSON comes back as it is in the cache as long as it is there, letter by letter.
func TestCachedJSONIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withCache(new(ledger)))
	do := func() json.RawMessage {
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (json.RawMessage, error) {
			return json.RawMessage(`{"b": 1, "a": [1e2, "x"]}`), nil
		})
		require.NoError(t, err)
		return reply.Value
	}
	first := do()
	kept := bytes.Clone(first)
	for range 3 {
		blot(first)
		first = do()
		require.Equal(t, string(kept), string(first))
	}
	require.JSONEq(t, `{"b": 1, "a": [100, "x"]}`, string(kept))
}

func TestLargestReplyIsCached(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withCache(newCache(t, idemcache.Config{})))
	largest := strings.Repeat("x", f.store.Config().MaxReplyBytes-len(`""`))
	do := func() (idemtx.Reply[string], error) {
		return idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (string, error) { return largest, nil })
	}
	_, err := do()
	require.NoError(t, err)
	f.pool.Close()
	reply, err := do()
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.Equal(t, largest, reply.Value)
}

// A hundred goroutines of two processes ask for ten keys in all modes.
func TestCacheUnderRace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withCache(newCache(t, idemcache.Config{})))
	peer := f.peer(withCache(newCache(t, idemcache.Config{})))
	var all sync.WaitGroup
	var numbers sync.Map
	for i := range 100 {
		p := []*fixture{f, peer}[i%2]
		all.Go(func() {
			for k := range 10 {
				key := strconv.Itoa(k)
				m := remembering[(i/2+k)%len(remembering)]
				reply, err := m.do(t.Context(), p, p.request(key), effect(p, key))
				if err != nil {
					t.Error(err)
					return
				}
				number, _ := numbers.LoadOrStore(key, reply.Value.Number)
				assert.Equal(t, number, reply.Value.Number)
			}
		})
	}
	all.Wait()
	for k := range 10 {
		require.Equal(t, 1, f.effects(strconv.Itoa(k)))
	}
	f.pool.Close()
	for k := range 10 {
		_, err := modes[0].do(t.Context(), f, f.request(strconv.Itoa(k)), mustNotRun(t))
		require.NoError(t, err)
	}
}
