package idemtx

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// uses are the ways to use a transaction, each with the error it ends in.
var uses = map[string]func(context.Context, pgx.Tx) error{
	"Begin": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Begin(ctx)
		return err
	},
	"BeginFunc": func(ctx context.Context, tx pgx.Tx) error {
		return pgx.BeginFunc(ctx, tx, func(pgx.Tx) error { return nil })
	},
	"Exec": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT 1")
		return err
	},
	"Query": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Query(ctx, "SELECT 1")
		return err
	},
	"the rows of Query": func(ctx context.Context, tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, "SELECT 1")
		_, err := pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	},
	"QueryRow": func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT $1::int", 1).Scan(new(int))
	},
	"SendBatch": func(ctx context.Context, tx pgx.Tx) error {
		b := new(pgx.Batch)
		b.Queue("SELECT 1")
		return tx.SendBatch(ctx, b).Close()
	},
	"the results of SendBatch": func(ctx context.Context, tx pgx.Tx) error {
		b := new(pgx.Batch)
		b.Queue("SELECT 1")
		_, err := tx.SendBatch(ctx, b).Exec()
		return err
	},
	"CopyFrom": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"id"}, pgx.CopyFromRows(nil))
		return err
	},
	"Prepare": func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Prepare(ctx, "one", "SELECT 1")
		return err
	},
}

func TestAHandlerUsesItsTransaction(t *testing.T) {
	t.Parallel()
	for name, use := range uses {
		_, err := lend(t.Context(), closedTx(), new(loan), func(ctx context.Context, tx pgx.Tx) (draft, error) {
			return draft{}, use(ctx, tx)
		})
		require.ErrorIs(t, err, pgx.ErrTxClosed, name)
		require.NotErrorIs(t, err, ErrTxMisuse, name)
	}
}

func TestATransactionIsOfNoUseAfterItsHandler(t *testing.T) {
	t.Parallel()
	for name, use := range uses {
		kept := keep(t)
		require.EqualError(t, use(t.Context(), kept), errKept.Error(), name)
		require.ErrorIs(t, use(t.Context(), kept), ErrTxMisuse, name)
	}
}

func TestATransactionIsOfNoUseAfterAPanic(t *testing.T) {
	t.Parallel()
	var kept pgx.Tx
	require.PanicsWithValue(t, "broken", func() {
		_, _ = lend(t.Context(), closedTx(), new(loan), func(_ context.Context, tx pgx.Tx) (draft, error) {
			kept = tx
			panic("broken")
		})
	})
	for name, use := range uses {
		require.ErrorIs(t, use(t.Context(), kept), ErrTxMisuse, name)
	}
}

func TestAHandlerCannotEndItsTransaction(t *testing.T) {
	t.Parallel()
	const commit = "idemtx: the handler misused its transaction: it is committed with the reply, after the handler"
	const rollback = "idemtx: the handler misused its transaction: return an error and it is rolled back"
	requireRefused := func(tx pgx.Tx) {
		require.EqualError(t, tx.Commit(t.Context()), commit)
		require.ErrorIs(t, tx.Commit(t.Context()), ErrTxMisuse)
		require.EqualError(t, tx.Rollback(t.Context()), rollback)
		require.ErrorIs(t, tx.Rollback(t.Context()), ErrTxMisuse)
	}
	_, err := lend(t.Context(), closedTx(), new(loan), func(_ context.Context, tx pgx.Tx) (draft, error) {
		requireRefused(tx)
		return draft{}, nil
	})
	require.NoError(t, err)
	requireRefused(keep(t))
}

func TestLendReturnsWhatTheHandlerReturns(t *testing.T) {
	t.Parallel()
	want := draft{response: []byte("1"), refused: true}
	d, err := lend(t.Context(), closedTx(), new(loan), func(context.Context, pgx.Tx) (draft, error) { return want, ErrRefused })
	require.Equal(t, want, d)
	require.ErrorIs(t, err, ErrRefused)
}

// keep returns the transaction of a handler that has returned.
func keep(t *testing.T) (kept pgx.Tx) {
	t.Helper()
	_, err := lend(t.Context(), closedTx(), new(loan), func(_ context.Context, tx pgx.Tx) (draft, error) {
		kept = tx
		return draft{}, nil
	})
	require.NoError(t, err)
	return kept
}

// opened is a transaction in which a savepoint can be taken.
type opened struct{ pgx.Tx }

func (opened) Begin(context.Context) (pgx.Tx, error) { return closedTx(), nil }

func TestASavepointIsOfNoUseAfterTheHandler(t *testing.T) {
	t.Parallel()
	var kept pgx.Tx
	_, err := lend(t.Context(), opened{closedTx()}, new(loan), func(ctx context.Context, tx pgx.Tx) (_ draft, err error) {
		kept, err = tx.Begin(ctx)
		return draft{}, err
	})
	require.NoError(t, err)
	for name, use := range uses {
		require.ErrorIs(t, use(t.Context(), kept), ErrTxMisuse, name)
	}
}

func TestLargeObjectsCannotBeHadAfterTheHandler(t *testing.T) {
	t.Parallel()
	objects := keep(t).LargeObjects()
	_, err := objects.Create(t.Context(), 0)
	require.ErrorIs(t, err, pgx.ErrTxClosed)
}
