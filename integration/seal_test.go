package integration

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtink"
	"github.com/idemtx/idemtx/idemtx"
)

// ring is a keyset and its codec.
type ring struct {
	keys  *keyset.Handle
	codec idemtx.Codec
}

func ringOf(tb testing.TB, keys *keyset.Handle) ring {
	tb.Helper()
	codec, err := idemtink.New(keys)
	require.NoError(tb, err)
	return ring{keys, codec}
}

func newRing(tb testing.TB) ring {
	tb.Helper()
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(tb, err)
	return ringOf(tb, keys)
}

// rotated is the ring with a new primary key, and without the old ones if they are to go.
func (r ring) rotated(tb testing.TB, keepOld bool) ring {
	tb.Helper()
	manager := keyset.NewManagerFromHandle(r.keys)
	old, err := r.keys.Primary()
	require.NoError(tb, err)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	require.NoError(tb, err)
	require.NoError(tb, manager.SetPrimary(id))
	if !keepOld {
		require.NoError(tb, manager.Delete(old.KeyID()))
	}
	keys, err := manager.Handle()
	require.NoError(tb, err)
	return ringOf(tb, keys)
}

func sealing(r ring) option {
	return withConfig(func(c *idemtx.Config) { c.Codec = r.codec })
}

const noted = "a note that nobody reads in the table"

// note has the reply hold the text.
func note(w work) work {
	return func(ctx context.Context, db execer) (order, error) {
		o, err := w(ctx, db)
		o.Note = noted
		return o, err
	}
}

// A reply is sealed in each mode, opened after its key was rotated, and lost with it.
func TestSealedReplySurvivesARotation(t *testing.T) {
	t.Parallel()
	for _, m := range allModes() {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			keys := newRing(t)
			f := newFixture(t, sealing(keys))
			first, err := m.do(t.Context(), f, f.request("k"), note(effect(f, "k")))
			require.NoError(t, err)
			require.Equal(t, m.name != idemtx.ModeDoBatch, first.Value.Note == noted)
			require.True(t, ask[bool](t, "SELECT sealed FROM "+f.table()))
			require.NotContains(t, ask[string](t, "SELECT response::text || encode(body, 'escape') FROM "+f.table()), "note")

			rotated := keys.rotated(t, true)
			for name, peer := range map[string]*fixture{
				"the same process":        f,
				"another process":         f.peer(sealing(keys)),
				"after the rotation":      f.peer(sealing(rotated)),
				"after the next, as well": f.peer(sealing(rotated.rotated(t, true))),
			} {
				again, err := m.do(t.Context(), peer, f.request("k"), mustNotRun(t))
				require.NoError(t, err, name)
				require.True(t, again.Replayed, name)
				require.Equal(t, first.Value, again.Value, name)
				entry, err := peer.store.Get(t.Context(), f.scope, "k")
				require.NoError(t, err, name)
				require.JSONEq(t, string(mustJSON(t, first.Value)), string(entry.Response), name)
			}
			for name, peer := range map[string]*fixture{
				"without the key": f.peer(sealing(keys.rotated(t, false))),
				"without a codec": f.peer(),
			} {
				_, err := m.do(t.Context(), peer, f.request("k"), mustNotRun(t))
				require.ErrorContains(t, err, "the stored reply does not open", name)
				_, err = peer.store.Get(t.Context(), f.scope, "k")
				require.ErrorContains(t, err, "the stored reply does not open", name)
			}
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// The old key may go when the table has nothing of it.
func TestSealedReplyNamesItsKey(t *testing.T) {
	t.Parallel()
	keys := newRing(t)
	f := newFixture(t, sealing(keys))
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	rotated := f.peer(sealing(keys.rotated(t, true)))
	_, err = idemtx.Do(t.Context(), rotated.store, f.request("l"), f.handler("l"))
	require.NoError(t, err)
	primary, err := keys.keys.Primary()
	require.NoError(t, err)
	require.Equal(t, 1, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE sealed AND response #>> '{}' = $1::int8::text", int64(primary.KeyID())))
	require.Equal(t, 2, ask[int](t, "SELECT count(DISTINCT response) FROM "+f.table()+" WHERE sealed"))
}

// Whoever can write the table cannot give one request the reply of another.
func TestSealedReplyIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sealing(newRing(t)))
	for _, key := range []string{"k", "l"} {
		_, err := idemtx.Do(t.Context(), f.store, f.request(key), f.handler(key))
		require.NoError(t, err)
	}
	exec(t, "UPDATE "+f.table()+" SET body = (SELECT body FROM "+f.table()+" WHERE key = 'k') WHERE key = 'l'")
	_, err := f.peer(sealing(newRing(t))).store.Get(t.Context(), f.scope, "k")
	require.Error(t, err)
	_, err = idemtx.Do(t.Context(), f.store, f.request("l"), f.handler("l"))
	require.ErrorContains(t, err, "the stored reply does not open")
	exec(t, "UPDATE "+f.table()+" SET refused = true WHERE key = 'k'")
	_, err = idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.ErrorContains(t, err, "the stored reply does not open")
}

// Replies that were stored before there was a codec are replayed.
func TestPlainReplyIsReplayedWithACodec(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	again, err := idemtx.Do(t.Context(), f.peer(sealing(newRing(t))).store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.Equal(t, first.Value, again.Value)
	require.Equal(t, 1, f.effects("k"))
}

// An HTTP reply comes back byte for byte, and none of its bytes are in the table.
func TestSealedReplyOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sealing(newRing(t)))
	page := "<!DOCTYPE html>\x00\xff\r\n" + noted
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "k"); err != nil {
			panic(err)
		}
		w.Header().Set("X-Note", noted)
		_, _ = w.Write([]byte(page))
	})
	first, again := s.send(s.post("k", "{}")), s.send(s.post("k", "{}"))
	require.Equal(t, page, first.body)
	require.True(t, again.replayed())
	require.Equal(t, page, again.body)
	require.Equal(t, noted, again.header.Get("X-Note"))
	row := ask[string](t, "SELECT response::text || encode(body, 'escape') FROM "+f.table())
	require.NotContains(t, row, "note")
	require.NotContains(t, row, "DOCTYPE")
}

func hashing(secret string) option {
	return withConfig(func(c *idemtx.Config) { c.KeySecret = idemtx.Secret(strings.Repeat(secret, 32)) })
}

// No key is in the table, and each mode finds what stands for it.
func TestHashedKeys(t *testing.T) {
	t.Parallel()
	const key = "the client's own key"
	for _, m := range allModes() {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, hashing("s"))
			first, err := m.do(t.Context(), f, f.request(key), effect(f, key))
			require.NoError(t, err)
			for _, peer := range []*fixture{f, f.peer(hashing("s"))} {
				again, err := m.do(t.Context(), peer, f.request(key), mustNotRun(t))
				require.NoError(t, err)
				require.Equal(t, first.Value, again.Value)
				_, err = m.do(t.Context(), peer, f.other(key), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrMismatch)
			}
			found, err := f.store.Locate(f.scope, key)
			require.NoError(t, err)
			require.Equal(t, found.Key, ask[string](t, "SELECT key FROM "+f.table()))
			require.NotContains(t, ask[string](t, "SELECT r::text FROM "+f.table()+" AS r"), "client")
			entry, err := f.store.Get(t.Context(), f.scope, key)
			require.NoError(t, err)
			require.JSONEq(t, string(mustJSON(t, first.Value)), string(entry.Response))

			stored, err := f.store.Put(t.Context(), f.scope, "another key", idemtx.Entry{Response: []byte("7")})
			require.NoError(t, err)
			require.True(t, stored)
			_, err = f.store.Get(t.Context(), f.scope, "another key")
			require.NoError(t, err)

			// What the table shows is no key.
			_, err = f.store.Get(t.Context(), f.scope, found.Key)
			require.ErrorIs(t, err, idemtx.ErrNotFound)
			// Under another secret, or none, the key was never used.
			for _, peer := range []*fixture{f.peer(hashing("t")), f.peer()} {
				_, err = peer.store.Get(t.Context(), f.scope, key)
				require.ErrorIs(t, err, idemtx.ErrNotFound)
			}
		})
	}
}

// unsteady is a codec that fails so many times before it seals, and does not open.
type unsteady struct {
	idemtx.Codec
	fails  atomic.Int64
	closed bool
}

var errUnsteady = errors.New("the key service does not answer, secret")

func (u *unsteady) Seal(ctx context.Context, plaintext, associated []byte) ([]byte, string, error) {
	if u.fails.Add(-1) >= 0 {
		return nil, "", errUnsteady
	}
	return u.Codec.Seal(ctx, plaintext, associated)
}

func (u *unsteady) Open(ctx context.Context, sealed []byte, keyID string, associated []byte) ([]byte, error) {
	if u.closed {
		return nil, errUnsteady
	}
	return u.Codec.Open(ctx, sealed, keyID, associated)
}

func unsteadily(tb testing.TB, times int64) *unsteady {
	tb.Helper()
	u := &unsteady{Codec: newRing(tb).codec}
	u.fails.Store(times)
	return u
}

// A reply that cannot be sealed is not stored, and so its work is undone.
func TestACodecThatFailsUndoesTheWork(t *testing.T) {
	t.Parallel()
	for _, m := range allModes() {
		if !m.atomic {
			continue
		}
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Codec = unsteadily(t, 1) }))
			_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.ErrorIs(t, err, errUnsteady)
			require.NotErrorIs(t, err, idemtx.ErrReplyNotStorable)
			require.NotContains(t, err.Error(), "secret")
			require.Zero(t, f.effects("k")+f.rows("k"))
			reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// In pool mode the work is done by then. It is sealed in the end, or the caller gets
// the reply and is told that nobody else will.
func TestACodecThatFailsInPoolMode(t *testing.T) {
	t.Parallel()
	for fails, kept := range map[int64]bool{2: true, 3: false} {
		f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Codec = unsteadily(t, fails) }))
		reply, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(ctx context.Context) (order, error) {
			return f.effect(ctx, f.pool, "k")
		})
		require.NotZero(t, reply.Value.Number)
		if kept {
			require.NoError(t, err)
			requireOnce(f, "k", reply)
			continue
		}
		require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		require.NotContains(t, err.Error(), "secret")
		require.True(t, ask[bool](t, "SELECT lease_until > clock_timestamp() FROM "+f.table()), "it is left to its lease")
	}
}

// A reply whose COMMIT is found out about is the caller's without being opened: its time
// may be over.
func TestSealedReplyOfALostCommitNeedsNoKey(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	codec := unsteadily(t, 0)
	codec.closed = true
	f := newFixture(t, through(wire), withConfig(func(c *idemtx.Config) { c.Codec = codec }))
	judge, met := once((*trip).commits, swallow)
	wire.meet(judge)
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.True(t, met.Load())
	require.NotZero(t, reply.Value.Number)
	require.Equal(t, 1, f.effects("k"))
}

// A key service that is down is no defect of the program: the client is to come again.
func TestACodecThatFailsOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Codec = unsteadily(t, 1) }))
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "k"); err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	require.Equal(t, http.StatusServiceUnavailable, s.send(s.post("k", "{}")).status)
	require.Equal(t, http.StatusCreated, s.send(s.post("k", "{}")).status)
	require.Equal(t, 1, f.effects("k"))
}
