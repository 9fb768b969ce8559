package integration

import (
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A clean-up that deletes a reply which may still be asked for, or a claim whose
// handler still runs, lets the work be done again.
func TestDefectSweptTooEarly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, longLease)
	for _, key := range []string{"live", "expired"} {
		_, err := idemtx.Do(t.Context(), f.store, f.request(key), f.handler(key))
		require.NoError(t, err)
	}
	f.expire("expired")
	var claims []*pending
	for _, key := range []string{"claimed", "long", "dead"} {
		claims = append(claims, start(t, modes[2], f, key))
	}
	const past = "created_at = created_at - interval '1 year', expires_at = clock_timestamp()"
	exec(t, "UPDATE "+f.table()+" SET "+past+" WHERE key = 'long'") // it runs for longer than its reply would be kept
	f.expire("dead")
	n, err := f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	for key, rows := range map[string]int{"live": 1, "claimed": 1, "long": 1, "expired": 0, "dead": 0} {
		require.Equal(t, rows, f.rows(key), key)
	}
	for _, p := range claims[:2] {
		_, err := p.finish(nil)
		require.NoError(t, err)
	}
	_, err = claims[2].finish(nil)
	require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
}

// A sweeper that waits for a row can deadlock, and one that deletes everything at
// once holds its locks for long. This one would wait until it fails.
func TestDefectSweeperWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := "abcdefghij"
	for _, key := range keys {
		_, err := idemtx.Do(t.Context(), f.store, f.request(string(key)), f.handler(string(key)))
		require.NoError(t, err)
		f.expire(string(key)) // the first is the oldest
	}
	impatient := f.peer(func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.RuntimeParams["lock_timeout"] = "5s" })
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT FROM "+f.table()+" WHERE key IN ('a', 'c') FOR UPDATE")
		require.NoError(t, err)
		n, err := impatient.store.DeleteExpired(t.Context(), 3)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.Equal(t, "acfghij", ask[string](t, "SELECT string_agg(key, '' ORDER BY key) FROM "+f.table()))
		n, err = impatient.store.DeleteExpired(t.Context(), 100)
		require.NoError(t, err)
		require.EqualValues(t, 5, n)
		return nil
	}))
	n, err := impatient.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

// Sweepers on every replica, beside requests that use the same keys again, must
// not fail and must not delete what was just written.
func TestDefectSweeperDeadlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const keys = 100
	_, err := f.pool.Exec(t.Context(), `INSERT INTO `+f.table()+` (scope, key, fingerprint, response, created_at, expires_at)
		SELECT $1, i::text, sha256(''), '1', clock_timestamp() - interval '1 day', clock_timestamp()
		FROM generate_series(0, $2::int - 1) AS i ORDER BY random()`, f.scope.Key(), keys)
	require.NoError(t, err)
	var ran, sweepers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		p := f.peer()
		sweepers.Go(func() {
			for {
				if _, err := p.store.DeleteExpired(t.Context(), 7); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for worker := range 4 {
		ran.Go(func() {
			for i := range keys {
				key := strconv.Itoa((i*37 + worker*25) % keys)
				if _, err := idemtx.Do(t.Context(), f.store, f.request(key), f.handler(key)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ran.Wait()
	close(done)
	sweepers.Wait()
	require.Equal(t, keys, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE expires_at > clock_timestamp()"))
	require.Equal(t, keys, ask[int](t, "SELECT count(*) FROM "+f.schema+".effects"))
}
