package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// roundTripsOfARefusal: one more than of a reply. The lock is taken anew with the
// undoing, before the reply is sent.
func roundTripsOfARefusal(t *testing.T, exec pgx.QueryExecMode) {
	t.Helper()
	f, wire, _ := wired(t, exec)
	refuse := func(key string) {
		reply, err := idemtx.Do(t.Context(), f.store, f.request(key), func(ctx context.Context, tx pgx.Tx) (order, error) {
			o, err := f.effect(ctx, tx, key)
			return o, errors.Join(err, idemtx.ErrRefused)
		})
		require.NoError(t, err)
		require.True(t, reply.Refused)
	}
	refuse("warm refusal") // its statements are prepared
	trips := wire.during(func() { refuse("k") })
	require.Len(t, trips, 4)
	require.Equal(t, 1, committed(trips))
	require.Zero(t, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))
}
