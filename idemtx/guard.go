package idemtx

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// guard is the transaction as a handler gets it: to write in, not to end, and
// not to keep.
type guard struct {
	tx   pgx.Tx
	loan *loan
}

var _ pgx.Tx = (*guard)(nil)

func (g *guard) Commit(context.Context) error {
	return fmt.Errorf("%w: it is committed with the reply, after the handler", ErrTxMisuse)
}

func (g *guard) Rollback(context.Context) error {
	return fmt.Errorf("%w: return an error and it is rolled back", ErrTxMisuse)
}

func (g *guard) Begin(ctx context.Context) (_ pgx.Tx, err error) {
	if err := g.loan.begin(); err != nil {
		return nil, err
	}
	defer func() { g.loan.done(err) }()
	tx, err := g.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &savepointGuard{guard{tx: tx, loan: g.loan}}, nil
}

func (g *guard) Exec(ctx context.Context, sql string, args ...any) (_ pgconn.CommandTag, err error) {
	if err := g.loan.begin(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer func() { g.loan.done(err) }()
	return g.tx.Exec(ctx, sql, args...)
}

func (g *guard) Query(ctx context.Context, sql string, args ...any) (_ pgx.Rows, err error) {
	if err := g.loan.begin(); err != nil {
		return refused(err).Query()
	}
	defer func() { g.loan.done(err) }()
	rows, err := g.tx.Query(ctx, sql, args...)
	return g.loan.rows(rows), err
}

func (g *guard) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := g.loan.begin(); err != nil {
		return refused(err).QueryRow()
	}
	defer g.loan.done(nil) // an error is Scan's to tell
	return &guardedRow{g.tx.QueryRow(ctx, sql, args...), g.loan}
}

func (g *guard) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := g.loan.begin(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	defer g.loan.done(nil) // an error is Close's to tell
	return &guardedBatch{g.tx.SendBatch(ctx, b), g.loan}
}

func (g *guard) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	if err := g.loan.begin(); err != nil {
		return 0, err
	}
	var failure error
	defer func() { g.loan.done(failure) }()
	n, err := g.tx.CopyFrom(ctx, table, columns, src)
	if failure = err; err != nil && src.Err() != nil {
		failure = src.Err() // of which PostgreSQL's is the echo
	}
	return n, err
}

func (g *guard) Prepare(ctx context.Context, name, sql string) (_ *pgconn.StatementDescription, err error) {
	if err := g.loan.begin(); err != nil {
		return nil, err
	}
	defer func() { g.loan.done(err) }()
	return g.tx.Prepare(ctx, name, sql)
}

// LargeObjects works as long as the transaction does, but not through the guard:
// what was got before the handler's return must not be used after it, and what
// fails there is not seen.
func (g *guard) LargeObjects() pgx.LargeObjects {
	if g.loan.begin() != nil {
		return closedTx().LargeObjects()
	}
	defer g.loan.done(nil)
	return g.tx.LargeObjects()
}

// Conn is the connection under the transaction. What is done to the transaction
// through it is seen only when the reply is stored.
func (g *guard) Conn() *pgx.Conn { return g.tx.Conn() }

// Failures are what the handler's statements have failed of, one error of each
// kind, also those that a savepoint has mended. idemhttp asks for them.
func (g *guard) Failures() []error { return g.loan.failures() }

// over tells whether a transaction is one that was lent to a handler which has
// returned. Its connection may be another's by now.
func over(tx pgx.Tx) bool {
	lent, ok := tx.(interface{ hasEnded() bool })
	return ok && lent.hasEnded()
}

func (g *guard) hasEnded() bool { return g.loan.hasEnded() }

// inHand tells whether a transaction is one that was lent to a handler of the key,
// or of one that has called it: it is not answered before that returns.
func inHand(tx pgx.Tx, keyLock int64) bool {
	lent, ok := tx.(interface{ isFor(keyLock int64) bool })
	return ok && lent.isFor(keyLock)
}

func (g *guard) isFor(keyLock int64) bool {
	return g.loan.keyLock == keyLock || inHand(g.tx, keyLock)
}

// savepointGuard is a savepoint in a guarded transaction, which the handler may
// release and go back to.
type savepointGuard struct{ guard }

func (g *savepointGuard) Commit(ctx context.Context) (err error) {
	if err := g.loan.begin(); err != nil {
		return err
	}
	defer func() { g.loan.done(err) }()
	return g.tx.Commit(ctx)
}

func (g *savepointGuard) Rollback(ctx context.Context) (err error) {
	if err := g.loan.begin(); err != nil {
		return err
	}
	defer func() { g.loan.done(err) }()
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
