package integration

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A handler that ends the transaction by SQL is found out under every isolation
// level, and when it begins another one at another level.
func TestMisuseEndBySQLAtEveryLevel(t *testing.T) {
	t.Parallel()
	inTxAtEveryLevel(t, func(t *testing.T, m mode, f *fixture) {
		t.Helper()
		ends := map[string][]string{
			"serializable": {"COMMIT", "BEGIN ISOLATION LEVEL SERIALIZABLE"},
			"committed":    {"ROLLBACK", "BEGIN ISOLATION LEVEL READ COMMITTED"},
			"read only":    {"COMMIT", "BEGIN READ ONLY"},
			"at once":      {"COMMIT; BEGIN", "SAVEPOINT idemtx"},
		}
		for key, statements := range endings {
			ends[key] = statements
		}
		for key, statements := range ends {
			for _, verdict := range []error{nil, idemtx.ErrRefused} {
				reply, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					for _, sql := range statements {
						_, _ = tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
					}
					return order{Number: 1}, verdict
				})
				require.Error(t, err, key)
				if key != "read only" || verdict != nil { // which PostgreSQL has a word for
					require.ErrorIs(t, err, idemtx.ErrTxMisuse, key)
				}
				require.Zero(t, reply, key)
			}
		}
		require.Empty(t, f.keys())
		f.idle()
	})
}

// What a handler needs of another key was answered after its snapshot was taken. The
// handler of Do returns the failure it gets, and finds the answer the next time.
func TestKeyWithinAHandlerIsAnsweredMeanwhile(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withIsolation(level), withMaxAttempts(2))
			b := f.peer()
			runs := 0
			var first idemtx.Reply[order]
			outer, err := idemtx.Do(t.Context(), f.store, f.request("outer"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				if runs++; runs == 1 {
					var err error
					first, err = idemtx.Do(t.Context(), b.store, b.request("inner"), b.handler("inner"))
					require.NoError(t, err)
				}
				inner, err := idemtx.DoTx(ctx, f.store, tx, f.request("inner"), f.handler("inner"))
				if err != nil {
					require.Equal(t, "40001", state(err), err)
					return order{}, err
				}
				require.True(t, inner.Replayed)
				require.Equal(t, first.Value, inner.Value)
				return f.effect(ctx, tx, "outer")
			})
			require.NoError(t, err)
			if level == pgx.ReadCommitted {
				require.Equal(t, 1, runs)
			} else {
				require.Equal(t, 2, runs)
			}
			requireOnce(f, "outer", outer)
			requireOnce(f, "inner", first)
		})
	}
}
