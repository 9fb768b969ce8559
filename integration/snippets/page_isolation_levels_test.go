package snippets

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func newLedger(pool *pgxpool.Pool) (*idemtx.Store, error) {
	return idemtx.New(pool, idemtx.Config{
		TxOptions:   pgx.TxOptions{IsoLevel: pgx.Serializable},
		MaxAttempts: 10, // 40001 is a part of normal work at this level
	})
}

func serializable(ctx context.Context, pool *pgxpool.Pool, work func(tx pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, work)
		var pgErr *pgconn.PgError
		undone := errors.As(err, &pgErr) && (pgErr.Code == "40001" || pgErr.Code == "40P01")
		if !undone || attempt == 10 {
			return err
		}
	}
}

// level is a handler that returns the isolation level it works at.
func level(ctx context.Context, tx pgx.Tx) (name string, err error) {
	err = tx.QueryRow(ctx, "SHOW transaction_isolation").Scan(&name)
	return name, err
}

func TestIsolationLevelsOfDo(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	store, err := newLedger(pool)
	require.NoError(t, err)
	require.NoError(t, store.CreateSchema(t.Context()))
	reply, err := idemtx.Do(t.Context(), store, request("level", "k", 1), level)
	require.NoError(t, err)
	require.Equal(t, "serializable", reply.Value)
}

// Without TxOptions it is the default of the database.
func TestIsolationLevelsByDefault(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "ALTER DATABASE "+store.Pool().Config().ConnConfig.Database+" SET default_transaction_isolation = 'repeatable read'")
	store.Pool().Reset()
	reply, err := idemtx.Do(t.Context(), store, request("level", "k", 1), level)
	require.NoError(t, err)
	require.Equal(t, "repeatable read", reply.Value)
}

// Another transaction is in the way of the first attempt.
func TestIsolationLevelsInDoTx(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "CREATE TABLE accounts (id bigint PRIMARY KEY, cents bigint NOT NULL); INSERT INTO accounts VALUES (1, 100)")
	attempts := 0
	err := serializable(t.Context(), store.Pool(), func(tx pgx.Tx) error {
		attempts++
		_, err := idemtx.DoTx(t.Context(), store, tx, request("spend", "k", 10), func(ctx context.Context, tx pgx.Tx) (int64, error) {
			if attempts == 1 {
				run(t, store.Pool(), "UPDATE accounts SET cents = cents - 1")
			}
			var left int64
			err := tx.QueryRow(ctx, "UPDATE accounts SET cents = cents - 10 RETURNING cents").Scan(&left)
			return left, err
		})
		return err
	})
	require.NoError(t, err)
	require.Equal(t, 2, attempts)
	require.Equal(t, 89, ask[int](t, store.Pool(), "SELECT cents FROM accounts"))
}
