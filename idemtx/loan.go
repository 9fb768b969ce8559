package idemtx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// loan is a handler's hold on a transaction, shared by what it gets from that:
// savepoints, rows and batches. It remembers what failed, of which a handler may
// tell another story.
//
// A handler may leave a goroutine behind that still uses the transaction, as
// http.TimeoutHandler does. So each use holds the lock, and none begins after the
// end of the loan: the connection is idemtx's alone then.
type loan struct {
	mu     sync.Mutex
	ended  bool
	last   error            // what an aborted transaction was aborted by
	failed map[string]error // the first of each SQLSTATE, or of another kind
}

var (
	errKept   = fmt.Errorf("%w: it was used after the handler had returned", ErrTxMisuse)
	errShared = fmt.Errorf("%w: it was used while another use of it was going on", ErrTxMisuse)
	errUnseen = errors.New("idemtx: a statement failed that was not sent through the transaction")
)

// begin is the begin of a use, which done ends unless there is an error. It does
// not wait: a callback that uses the transaction within a use would wait for
// itself.
func (l *loan) begin() error {
	if !l.mu.TryLock() {
		return errShared
	}
	if l.ended {
		l.mu.Unlock()
		return errKept
	}
	return nil
}

// done is deferred, because a codec may panic.
func (l *loan) done(err *error) {
	l.note(*err)
	l.mu.Unlock()
}

// note remembers why a use has failed. That the transaction is aborted is only
// the consequence of something else. That a savepoint is closed is how a deferred
// rollback ends.
func (l *loan) note(err error) {
	code := sqlState(err)
	switch {
	case err == nil, code == inFailedTransaction,
		errors.Is(err, pgx.ErrNoRows), errors.Is(err, pgx.ErrTooManyRows), errors.Is(err, pgx.ErrTxClosed):
		return
	case gaveUp(err):
		code = "context"
	}
	l.last = err
	if l.failed == nil {
		l.failed = make(map[string]error)
	}
	if l.failed[code] == nil {
		l.failed[code] = err
	}
}

// gaveUp tells that a statement was not waited for, which closes its connection.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// end waits for the use that is going on.
func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// failures are what the uses have failed of, and an error for what was done to the
// transaction behind its back.
func (l *loan) failures(conn *pgx.Conn) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failed) == 0 && aborted(conn) {
		return []error{errUnseen}
	}
	return slices.Collect(maps.Values(l.failed))
}

// undoing is why PostgreSQL has undone the transaction for no fault of the
// handler's, whatever that has made of it, or nil. The loan has ended.
func (l *loan) undoing(conn *pgx.Conn) error {
	if aborted(conn) && undone(l.last) {
		return l.last
	}
	return nil
}

// gaveUp tells that the handler has not waited for a statement.
func (l *loan) gaveUp() bool { return l.failed["context"] != nil }

func aborted(conn *pgx.Conn) bool {
	return conn != nil && !conn.IsClosed() && conn.PgConn().TxStatus() == 'E'
}
