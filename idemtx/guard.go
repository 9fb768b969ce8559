package idemtx

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// guard is the transaction as a handler gets it: to write in, not to end, and
// not to keep.
type guard struct {
	tx       pgx.Tx
	returned *atomic.Bool // shared with the savepoints taken in it
}

var _ pgx.Tx = (*guard)(nil)

var errKept = fmt.Errorf("%w: it was used after the handler had returned", ErrTxMisuse)

func (g *guard) Commit(context.Context) error {
	return fmt.Errorf("%w: it is committed with the reply, after the handler", ErrTxMisuse)
}

func (g *guard) Rollback(context.Context) error {
	return fmt.Errorf("%w: return an error and it is rolled back", ErrTxMisuse)
}

func (g *guard) err() error {
	if g.returned.Load() {
		return errKept
	}
	return nil
}

func (g *guard) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := g.err(); err != nil {
		return nil, err
	}
	tx, err := g.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &savepointGuard{guard{tx: tx, returned: g.returned}}, nil
}

func (g *guard) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := g.err(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return g.tx.Exec(ctx, sql, args...)
}

func (g *guard) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := g.err(); err != nil {
		return refused(err).Query()
	}
	return g.tx.Query(ctx, sql, args...)
}

func (g *guard) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := g.err(); err != nil {
		return refused(err).QueryRow()
	}
	return g.tx.QueryRow(ctx, sql, args...)
}

func (g *guard) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := g.err(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return g.tx.SendBatch(ctx, b)
}

func (g *guard) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	if err := g.err(); err != nil {
		return 0, err
	}
	return g.tx.CopyFrom(ctx, table, columns, src)
}

func (g *guard) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := g.err(); err != nil {
		return nil, err
	}
	return g.tx.Prepare(ctx, name, sql)
}

// LargeObjects works as long as the transaction does, but not through the guard:
// what was got before the handler's return must not be used after it.
func (g *guard) LargeObjects() pgx.LargeObjects {
	if g.err() != nil {
		return closedTx().LargeObjects()
	}
	return g.tx.LargeObjects()
}

// Conn is the connection under the transaction. What is done to the transaction
// through it is seen only when the reply is stored.
func (g *guard) Conn() *pgx.Conn { return g.tx.Conn() }

// savepointGuard is a savepoint in a guarded transaction, which the handler may
// release and go back to.
type savepointGuard struct{ guard }

func (g *savepointGuard) Commit(ctx context.Context) error {
	if err := g.err(); err != nil {
		return err
	}
	return g.tx.Commit(ctx)
}

func (g *savepointGuard) Rollback(ctx context.Context) error {
	if err := g.err(); err != nil {
		return err
	}
	return g.tx.Rollback(ctx)
}

// closedTx is a transaction that has ended.
func closedTx() pgx.Tx {
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(b, pgx.ErrTxClosed).Tx()
}

// refused has the rows of a query that fails before it is sent.
func refused(err error) pgx.BatchResults { return pgx.FailedBatchResults(&pgx.Batch{}, err) }
