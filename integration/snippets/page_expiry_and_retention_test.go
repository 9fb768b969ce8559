package snippets

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func newStrictStore(pool *pgxpool.Pool) (*idemtx.Store, error) {
	return idemtx.New(pool, idemtx.Config{
		TTL:       24 * time.Hour,
		OnExpired: idemtx.RefuseExpired,
		Retention: 30 * 24 * time.Hour,
	})
}

func sweepNow(ctx context.Context, store *idemtx.Store) (total int64, err error) {
	const batch = 1000
	for {
		n, err := store.DeleteExpired(ctx, batch)
		total += n
		if err != nil || n < batch {
			return total, err
		}
	}
}

// lamp is a handler.
func lamp(context.Context, pgx.Tx) (string, error) { return "lamp", nil }

// age makes all rows so much older.
func age(t *testing.T, pool *pgxpool.Pool, days int) {
	t.Helper()
	run(t, pool, `UPDATE idemtx_replies SET created_at = created_at - make_interval(days => $1),
		expires_at = expires_at - make_interval(days => $1), retain_until = retain_until - make_interval(days => $1)`, days)
}

func TestExpiryAndRetention(t *testing.T) {
	t.Parallel()
	store, err := newStrictStore(newPool(t))
	require.NoError(t, err)
	require.NoError(t, store.CreateSchema(t.Context()))
	for range 2 {
		_, err = idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
		require.NoError(t, err)
	}
	age(t, store.Pool(), 2)
	for range 2 { // before the sweeper has come, and after
		_, err = idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
		require.ErrorIs(t, err, idemtx.ErrExpired)
		_, err = idemtx.Do(t.Context(), store, request("order", "k", 2), lamp)
		require.ErrorIs(t, err, idemtx.ErrMismatch)
		swept, err := sweepNow(t.Context(), store)
		require.NoError(t, err)
		require.LessOrEqual(t, swept, int64(1))
	}
	require.True(t, ask[bool](t, store.Pool(),
		"SELECT response IS NULL AND lease_until IS NULL AND retain_until = expires_at FROM idemtx_replies"))

	rerun, err := idemtx.New(store.Pool(), idemtx.Config{})
	require.NoError(t, err)
	reply, err := idemtx.Do(t.Context(), rerun, request("order", "k", 2), lamp)
	require.NoError(t, err)
	require.False(t, reply.Replayed)
}

func TestExpiryWithoutRetention(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{OnExpired: idemtx.RefuseExpired})
	_, err := idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
	require.NoError(t, err)
	age(t, store.Pool(), 2)
	_, err = idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
	require.ErrorIs(t, err, idemtx.ErrExpired)
	swept, err := sweepNow(t.Context(), store)
	require.NoError(t, err)
	require.EqualValues(t, 1, swept)
	reply, err := idemtx.Do(t.Context(), store, request("order", "k", 1), lamp)
	require.NoError(t, err)
	require.False(t, reply.Replayed)
}

// The TOAST table goes by the settings of its table, and takes its own; fillfactor
// would not help, because the index on expires_at is in the way of an update in place.
func TestExpiryAutovacuum(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "ALTER TABLE idemtx_replies SET (toast.autovacuum_vacuum_scale_factor = 0.02)")
	require.Equal(t, "0.2", ask[string](t, store.Pool(), "SELECT boot_val FROM pg_settings WHERE name = 'autovacuum_vacuum_scale_factor'"))
	require.Equal(t, "2", ask[string](t, store.Pool(), "SELECT boot_val FROM pg_settings WHERE name = 'autovacuum_vacuum_cost_delay'"))
}
