package integration

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemcache"
	"github.com/idemtx/idemtx/idemtx"
)

// What is left of another process's row is all that it is remembered for.
func TestCachedReplyEndsWithItsRow(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			told := new(ledger)
			peer := f.peer(withCache(told), withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
			ask := func() error {
				_, err := m.do(t.Context(), peer, peer.request("k"), mustNotRun(t))
				if !errors.Is(err, idemtx.ErrExpired) {
					assert.NoError(t, err)
				}
				return err
			}
			require.Eventually(t, func() bool { // a slow machine may be too late for it
				exec(t, "UPDATE "+f.table()+" SET expires_at = clock_timestamp() + interval '2 seconds'")
				return ask() == nil
			}, time.Minute, time.Millisecond)
			_, sets := told.counts()
			require.Equal(t, 1, sets)
			require.Eventually(t, func() bool { return ask() != nil }, time.Minute, 10*time.Millisecond)
		})
	}
}

// A row that was deleted by hand is replayed until it is forgotten.
func TestDeletedRowIsReplayedUntilItIsForgotten(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			told := new(ledger)
			f := newFixture(t, withCache(told))
			reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			exec(t, "DELETE FROM "+f.table())
			requireReplay(t, m, f, f.request("k"), reply)
			told.forget()
			reply, err = m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.Equal(t, 2, f.effects("k"))
			requireReplay(t, m, f, f.request("k"), reply)
		})
	}
}

// A replay from the cache does not make it younger.
func TestDeletedRowIsForgottenWithAge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withCache(newCache(t, idemcache.Config{MaxAge: 200 * time.Millisecond})))
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	exec(t, "DELETE FROM "+f.table())
	require.Eventually(t, func() bool {
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
		assert.NoError(t, err)
		return !reply.Replayed
	}, time.Minute, time.Millisecond)
	require.Equal(t, 2, f.effects("k"))
}

// requireApart requires that two fixtures have replies of their own under one key,
// whoever is asked when.
func requireApart(t *testing.T, m mode, a, b *fixture) {
	t.Helper()
	ofA, err := m.do(t.Context(), a, a.request("k"), effect(a, "k"))
	require.NoError(t, err)
	_, err = m.do(t.Context(), b, b.request("other"), effect(b, "other")) // so that its next number is another
	require.NoError(t, err)
	ofB, err := m.do(t.Context(), b, b.request("k"), effect(b, "k"))
	require.NoError(t, err)
	require.False(t, ofB.Replayed)
	require.NotEqual(t, ofA.Value, ofB.Value)
	for range 2 {
		requireReplay(t, m, a, a.request("k"), ofA)
		requireReplay(t, m, b, b.request("k"), ofB)
	}
}

func TestStoresOfTwoSchemasShareACache(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			cache := newCache(t, idemcache.Config{})
			a, b := newFixture(t, withCache(cache)), newFixture(t, withCache(cache))
			requireApart(t, m, a, b)
			a.pool.Close() // each has kept its own
			b.pool.Close()
			for _, f := range []*fixture{a, b} {
				_, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
				require.NoError(t, err)
			}
		})
	}
}

// Schema, table, scope and key are the same, and so is the lock's number.
func TestStoresOfTwoDatabasesShareACache(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			cache := newCache(t, idemcache.Config{})
			a := newFixture(t, withCache(cache))
			database := strings.Replace(a.schema, "t_", "d_", 1)
			exec(t, "CREATE DATABASE "+database)
			t.Cleanup(func() { exec(t, "DROP DATABASE "+database+" WITH (FORCE)") })
			b := a.peer(withCache(cache), func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.Database = database })
			require.NoError(t, b.store.CreateSchema(t.Context()))
			_, err := b.pool.Exec(t.Context(),
				"CREATE TABLE "+b.schema+".effects (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL)")
			require.NoError(t, err)
			requireApart(t, m, a, b)
		})
	}
}
