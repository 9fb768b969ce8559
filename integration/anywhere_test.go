package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// serve calls each operation that serving needs once, and each statement of
// the modes.
func serve(t *testing.T, f *fixture) {
	t.Helper()
	nothing := func(context.Context, execer) (order, error) { return order{Number: 1}, nil }
	refused := func(context.Context, execer) (order, error) { return order{}, idemtx.ErrRefused }
	for _, m := range modes {
		key := string(m.name)
		for i := range 2 {
			reply, err := m.do(t.Context(), f, f.request(key), nothing)
			require.NoError(t, err, key)
			require.Equal(t, i > 0, reply.Replayed, key)
		}
		reply, err := m.do(t.Context(), f, f.request(key+" refused"), refused)
		require.NoError(t, err, key)
		require.True(t, reply.Refused, key)
		_, err = m.do(t.Context(), f, f.request(key+" failed"), func(context.Context, execer) (order, error) {
			return order{}, context.DeadlineExceeded
		})
		require.ErrorIs(t, err, context.DeadlineExceeded, key)
	}
	entry, err := f.store.Get(t.Context(), f.scope, string(idemtx.ModeDo))
	require.NoError(t, err)
	stored, err := f.store.Put(t.Context(), f.scope, "put", entry)
	require.NoError(t, err)
	require.True(t, stored)
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		stored, err := f.store.PutTx(t.Context(), tx, f.scope, "put in a transaction", entry)
		require.True(t, stored)
		return err
	}))
	_, err = f.store.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.NoError(t, f.store.VerifySchema(t.Context()))
}

// A role that may read and write rows, and nothing else.
func TestServingNeedsNoMoreThanRows(t *testing.T) {
	t.Parallel()
	owner, role := newFixture(t), newRole(t)
	exec(t, "GRANT USAGE ON SCHEMA "+owner.schema+" TO "+quoted(role))
	exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+owner.table()+" TO "+quoted(role))
	f := *owner
	f.pool = newPool(t, asRole(role))
	f.store = newStore(t, f.pool, idemtx.Config{Schema: f.schema})
	require.NoError(t, f.store.CreateSchema(t.Context()))
	serve(t, &f)
	// It really is that role.
	_, err := f.pool.Exec(t.Context(), "TRUNCATE "+f.table())
	require.ErrorContains(t, err, "42501")
}

func TestTablesOfAnyName(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"order", "select", "_", "user", strings.Repeat("t", 48)} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Table = table }))
			serve(t, f)
		})
	}
}
