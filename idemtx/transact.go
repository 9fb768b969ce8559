package idemtx

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// begin begins a transaction of idemtx's own: each statement sees what was
// committed before it, whatever the role's default, and a standby refuses it.
const begin = "begin isolation level read committed read write"

// cleanupTimeout bounds what is done for a caller who may be gone. A rollback
// takes a round trip; past this, the connection is closed instead.
const cleanupTimeout = 5 * time.Second

// transact runs what queue queues in a transaction of its own on a connection of
// the pool, in one round trip. read reads the results.
func (s *Store) transact(ctx context.Context, queue func(*pgx.Batch), read func(pgx.BatchResults) error) error {
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{BeginQuery: begin})
	queue(b)
	b.Queue("commit")
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return &unsentError{err}
	}
	defer conn.Release()
	br := conn.SendBatch(ctx, b)
	defer rollback(ctx, conn.Conn(), br.Tx())
	err = skip(br, 1)
	if err == nil {
		err = read(br)
	}
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	// A cancel request, which is how some pools end a statement with its context,
	// makes COMMIT succeed without its synchronous standby.
	return cmp.Or(err, ctx.Err())
}

// unsentError means that there was no connection, so that nothing was done.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// unsent does not ask pgconn.SafeToRetry, which in some exec modes says so of a
// batch that was sent and whose answer was lost.
func unsent(err error) bool {
	var none *unsentError
	return errors.As(err, &none)
}

// exec is transact for one statement without rows.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = s.transact(ctx, func(b *pgx.Batch) { b.Queue(sql, args...) }, func(br pgx.BatchResults) (err error) {
		tag, err = br.Exec()
		return err
	})
	return tag, err
}

// rollback ends what is open on a connection. What cannot be rolled back is closed.
func rollback(ctx context.Context, conn *pgx.Conn, tx pgx.Tx) {
	if !inTransaction(conn) {
		return
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// cleanup returns a context that outlives the caller's and holds its values, as tracers
// look for them.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}

func inTransaction(conn *pgx.Conn) bool {
	return !conn.IsClosed() && conn.PgConn().TxStatus() != 'I'
}
