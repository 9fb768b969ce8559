package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A handler that answers its own key through its own transaction would find it
// taken by itself, each time that it is run again. It is told what is wrong, and is
// not run again: however deep the call is, and through whatever savepoint.
func TestMisuseOfTheOwnKey(t *testing.T) {
	t.Parallel()
	through := map[string]func(ctx context.Context, f *fixture, tx pgx.Tx, use func(context.Context, pgx.Tx) error) error{
		"itself": func(ctx context.Context, _ *fixture, tx pgx.Tx, use func(context.Context, pgx.Tx) error) error {
			return use(ctx, tx)
		},
		"a savepoint": func(ctx context.Context, _ *fixture, tx pgx.Tx, use func(context.Context, pgx.Tx) error) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return use(ctx, tx) })
		},
		"another call in a savepoint": func(ctx context.Context, f *fixture, tx pgx.Tx, use func(context.Context, pgx.Tx) error) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
				_, err := idemtx.DoTx(ctx, f.store, tx, f.request("another"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					return order{}, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return use(ctx, tx) })
				})
				return err
			})
		},
	}
	for name, route := range through {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, m := range modes[:2] {
				f := newFixture(t)
				for key, use := range map[string]func(ctx context.Context, tx pgx.Tx) error{
					"DoTx": func(ctx context.Context, tx pgx.Tx) error {
						_, err := idemtx.DoTx(ctx, f.store, tx, f.request("DoTx"), f.handler("DoTx"))
						return err
					},
					"PutTx": func(ctx context.Context, tx pgx.Tx) error {
						_, err := f.store.PutTx(ctx, tx, f.scope, "PutTx", idemtx.Entry{Response: []byte("1")})
						return err
					},
				} {
					runs := 0
					_, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
						runs++
						o, err := f.effect(ctx, tx, key)
						return o, errors.Join(err, route(ctx, f, tx, use))
					})
					require.ErrorIs(t, err, idemtx.ErrTxMisuse)
					require.Equal(t, 1, runs)
					require.Zero(t, f.effects(key)+f.rows(key))
					require.Zero(t, f.rows("another"))
					// Who makes nothing of it has done no harm.
					reply, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
						require.ErrorIs(t, route(ctx, f, tx, use), idemtx.ErrTxMisuse)
						return f.effect(ctx, tx, key)
					})
					require.NoError(t, err)
					requireOnce(f, key, reply)
				}
			}
		})
	}
}
