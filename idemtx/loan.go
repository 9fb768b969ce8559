package idemtx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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
	conn    *pgx.Conn // nil if the transaction has failed to begin
	keyLock int64     // of the key that the handler runs for

	mu     sync.Mutex
	ended  bool
	broken bool             // before the use that is going on
	cause  error            // of the transaction's being aborted, as far as it was seen
	failed map[string]error // the first of each SQLSTATE, or of another kind
}

var (
	errKept   = fmt.Errorf("%w: it was used after the handler had returned", ErrTxMisuse)
	errShared = fmt.Errorf("%w: it was used while another use of it was going on", ErrTxMisuse)
	errOwnKey = fmt.Errorf("%w: it was used to answer the key that its handler runs for", ErrTxMisuse)
	errUnseen = errors.New("idemtx: a statement failed that was not sent through the transaction")
)

// The kinds of failure that have no SQLSTATE.
const (
	lostConnection = "the connection was lost"
	notWaitedFor   = "the connection was closed because a context had ended"
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
	l.broken = l.aborted()
	return nil
}

// done is deferred, because a codec may panic.
func (l *loan) done(err error) {
	defer l.mu.Unlock()
	switch now := l.aborted(); {
	case now && !l.broken:
		l.cause = err
	case !now:
		l.cause = nil // a savepoint has mended it
	}
	if kind := l.kindOf(err); kind != "" && l.failed[kind] == nil {
		if l.failed == nil {
			l.failed = make(map[string]error)
		}
		l.failed[kind] = err
	}
}

// kindOf tells failures of PostgreSQL apart. What fails on this side alone, such
// as a codec, a callback, or a statement that was not sent, is none.
func (l *loan) kindOf(err error) string {
	code := sqlState(err)
	switch lost := l.conn != nil && l.conn.IsClosed(); {
	case err == nil, code == inFailedTransaction: // of which the cause is another
		return ""
	case code == "" && lost && gaveUp(err):
		return notWaitedFor
	case code == "" && lost:
		return lostConnection
	}
	return code
}

// gaveUp tells that a statement was not waited for, which closes its connection.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// end waits for the use that is going on. If that does not end long after ctx has,
// the network connection is closed under it.
func (l *loan) end(ctx context.Context) {
	if !l.mu.TryLock() {
		ended := make(chan struct{})
		go l.cutOff(ctx, ended)
		l.mu.Lock()
		close(ended)
	}
	l.ended = true
	l.mu.Unlock()
}

func (l *loan) cutOff(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	select {
	case <-ended:
	case <-time.After(cleanupTimeout):
		_ = l.conn.PgConn().Conn().Close()
	}
}

func (l *loan) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// failures are what the uses have failed of, and an error for what was done to the
// transaction behind its back.
func (l *loan) failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	failures := slices.Collect(maps.Values(l.failed))
	if l.aborted() && l.cause == nil {
		failures = append(failures, errUnseen)
	}
	return failures
}

// undoing is why PostgreSQL has undone the transaction for no fault of the
// handler's, whatever that has made of it, or nil. The loan has ended.
func (l *loan) undoing() error {
	if l.aborted() && undone(l.cause) {
		return l.cause
	}
	return nil
}

// gaveUp tells that the handler has not waited for a statement. The loan has
// ended.
func (l *loan) gaveUp() bool { return l.failed[notWaitedFor] != nil }

func (l *loan) aborted() bool {
	return l.conn != nil && !l.conn.IsClosed() && l.conn.PgConn().TxStatus() == 'E'
}
