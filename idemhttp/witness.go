package idemhttp

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// witness remembers why a transaction fails. A handler answers an error of
// PostgreSQL with a 500 of its own, in which a serialization failure, that calls
// for another run, cannot be told from anything else.
type witness struct {
	// failure is the first error of a statement, for later ones say only that
	// the transaction is aborted; but an undoing is never passed over.
	failure error
}

func (s *witness) note(err error) {
	if err != nil && !errors.Is(err, pgx.ErrNoRows) && (s.failure == nil || undone(err)) {
		s.failure = err
	}
}

// undone tells that PostgreSQL has rolled the transaction back for no fault of
// the handler's.
func undone(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}

// passing tells that a statement has failed for another reason than what it asked
// for: one that PostgreSQL gives as of the moment, or one that is not its own,
// such as a connection or a deadline.
func (s *witness) passing() bool {
	var pgErr *pgconn.PgError
	return s.failure != nil && (!errors.As(s.failure, &pgErr) || passing(pgErr.Code))
}

func (s *witness) watch(tx pgx.Tx) pgx.Tx { return &watchedTx{tx, s} }

// watchedTx is a transaction, or a savepoint in it, under the eyes of a witness.
type watchedTx struct {
	pgx.Tx
	witness *witness
}

func (t *watchedTx) Begin(ctx context.Context) (pgx.Tx, error) {
	savepoint, err := t.Tx.Begin(ctx)
	t.witness.note(err)
	if err != nil {
		return nil, err
	}
	return t.witness.watch(savepoint), nil
}

func (t *watchedTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := t.Tx.Exec(ctx, sql, args...)
	t.witness.note(err)
	return tag, err
}

func (t *watchedTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := t.Tx.Query(ctx, sql, args...)
	t.witness.note(err)
	return &watchedRows{rows, t.witness}, err
}

func (t *watchedTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return &watchedRow{t.Tx.QueryRow(ctx, sql, args...), t.witness}
}

func (t *watchedTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return &watchedBatch{t.Tx.SendBatch(ctx, b), t.witness}
}

func (t *watchedTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	n, err := t.Tx.CopyFrom(ctx, table, columns, src)
	t.witness.note(err)
	return n, err
}

type watchedRows struct {
	pgx.Rows
	witness *witness
}

func (r *watchedRows) Err() error {
	err := r.Rows.Err()
	r.witness.note(err)
	return err
}

type watchedRow struct {
	pgx.Row
	witness *witness
}

func (r *watchedRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	r.witness.note(err)
	return err
}

type watchedBatch struct {
	pgx.BatchResults
	witness *witness
}

// Close returns the error of any statement of the batch.
func (b *watchedBatch) Close() error {
	err := b.BatchResults.Close()
	b.witness.note(err)
	return err
}
