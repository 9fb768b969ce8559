package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// processes are the fixture, whose process has answered the key and knows it, and
// another's, which has never heard of it.
func processes(f *fixture, via option) []*fixture { return []*fixture{f, f.peer(via)} }

func batchRunsOnceAndReplays(t *testing.T, via option) {
	f := newFixture(t, via)
	first, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.False(t, first.Replayed)
	require.False(t, first.Refused)
	require.EqualValues(t, 1, first.Value.Number)
	require.Equal(t, 24*time.Hour, first.ExpiresAt.Sub(first.CreatedAt))

	for _, f := range processes(f, via) {
		for range 2 {
			again, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.NoError(t, err)
			require.True(t, again.Replayed)
			require.Equal(t, first.Value, again.Value)
			require.True(t, first.CreatedAt.Equal(again.CreatedAt) && first.ExpiresAt.Equal(again.ExpiresAt))
		}
		f.idle()
	}
	require.Equal(t, 1, f.runs(), "the work of a replay was executed")
	require.Equal(t, 1, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))

	short := f.request("short")
	short.TTL = 5 * time.Minute
	third, err := f.batch(t.Context(), short, f.ordering("short"))
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, third.ExpiresAt.Sub(third.CreatedAt))
	f.idle()
}

func batchReplaysInEveryMode(t *testing.T, via option) {
	f := newFixture(t, via)
	first, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	for _, p := range processes(f, via) {
		for _, m := range modes {
			again, err := m.do(t.Context(), p, p.request("k"), mustNotRun(t))
			require.NoError(t, err, m.name)
			require.True(t, again.Replayed, m.name)
			require.Equal(t, first.Value, again.Value, m.name)
			require.True(t, first.ExpiresAt.Equal(again.ExpiresAt), m.name)
		}
	}
	entry, err := f.store.Get(t.Context(), f.scope, "k")
	require.NoError(t, err)
	require.JSONEq(t, string(mustJSON(t, first.Value)), string(entry.Response))
	r := f.request("k")
	want, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	require.Equal(t, want, entry.Fingerprint)
	require.True(t, first.ExpiresAt.Equal(entry.ExpiresAt))

	for _, m := range modes {
		key := string(m.name)
		first, err := m.do(t.Context(), f, f.request(key), effect(f, key))
		require.NoError(t, err)
		for _, p := range processes(f, via) {
			again, err := p.batch(t.Context(), p.request(key), p.ordering(key))
			require.NoError(t, err, key)
			require.True(t, again.Replayed, key)
			require.Equal(t, first.Value, again.Value, key)
			require.True(t, first.ExpiresAt.Equal(again.ExpiresAt), key)
		}
		require.Equal(t, 1, f.effects(key), key)
	}
	require.Equal(t, 1+len(modes), f.runs())
}

func batchRefusesAnotherRequest(t *testing.T, via option) {
	f := newFixture(t, via)
	_, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	elsewhere := f.request("k")
	elsewhere.Operation = "POST /refunds"
	for _, p := range processes(f, via) {
		for _, r := range []idemtx.Request{f.other("k"), elsewhere} {
			reply, err := p.batch(t.Context(), r, p.ordering("k"))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
			require.Equal(t, idemtx.ErrMismatch.Error(), err.Error(), "it must not tell of the other request")
			require.Zero(t, reply)
		}
		p.idle()
	}
	require.Equal(t, 1, f.runs())
	require.Equal(t, 1, f.effects("k"))
}

func batchKeepsScopesApart(t *testing.T, via option) {
	f := newFixture(t, via)
	first, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	r := f.request("k")
	r.Scope = mustScope(t, "tenant", "another")
	second, err := f.batch(t.Context(), r, f.ordering("k"))
	require.NoError(t, err)
	require.False(t, second.Replayed)
	require.NotEqual(t, first.Value, second.Value)
}

// Also for another request: an expired key is one that was never used.
func batchExpiredKeyRunsAgain(t *testing.T, via option) {
	f := newFixture(t, via)
	first, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	for _, p := range processes(f, via) {
		f.expire("k")
		second, err := p.batch(t.Context(), p.other("k"), p.ordering("k"))
		require.NoError(t, err)
		require.False(t, second.Replayed)
		require.NotEqual(t, first.Value, second.Value)
		require.True(t, second.ExpiresAt.After(now(t)))
		require.Equal(t, 1, f.rows("k"))
		p.idle()
	}
	require.Equal(t, 3, f.effects("k"))
	require.Equal(t, 3, f.runs())
}

func batchExpiredKeyIsRefused(t *testing.T, via option) {
	refuses := withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired })
	f := newFixture(t, via, refuses)
	_, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	f.expire("k")
	for _, p := range []*fixture{f, f.peer(via, refuses)} {
		_, err = p.batch(t.Context(), p.request("k"), p.ordering("k"))
		require.ErrorIs(t, err, idemtx.ErrExpired)
		p.idle()
	}
	require.Equal(t, 1, f.runs())
	require.Equal(t, 1, f.effects("k"))
}
