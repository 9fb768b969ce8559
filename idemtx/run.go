package idemtx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// handler is the caller's function with its reply encoded.
type handler func(ctx context.Context, tx pgx.Tx) (draft, error)

// undoneError is the end of an attempt that has left nothing behind and may be
// made again. It never reaches the caller; its cause does.
type undoneError struct{ cause error }

func (e *undoneError) Error() string { return e.cause.Error() }

var errConnectionLost = errors.New("idemtx: the connection was lost before COMMIT")

var errEnded = fmt.Errorf("%w: it ended the transaction by SQL; what it has committed stays", ErrTxMisuse)

var errReplaced = fmt.Errorf("%w: it ended the transaction by SQL and began another; "+
	"what it has committed stays", ErrTxMisuse)

// work has the handler work in the transaction. Without an error its reply can be
// written, in the transaction or, when it is a refusal, after its undoing.
func (s *Store) work(ctx context.Context, c *call, tx pgx.Tx, fn handler) (draft, error) {
	l := &loan{conn: tx.Conn(), keyLock: c.keyLock}
	began := time.Now()
	d, err := lend(ctx, tx, l, fn)
	c.handled += time.Since(began)
	if over(tx) {
		return draft{}, errKept
	}
	switch undoing := l.undoing(); {
	case undoing != nil:
		return draft{}, &undoneError{undoing}
	case err != nil:
		return draft{}, handlerFailed(ctx, tx.Conn(), err, l.gaveUp())
	}
	if err := intact(tx.Conn(), d.refused); err != nil {
		return draft{}, err
	}
	if err := s.seal(ctx, c.id, c.fingerprint, &d); err != nil {
		return draft{}, err
	}
	return d, nil
}

// lend gives the handler the transaction for as long as it runs.
func lend(ctx context.Context, tx pgx.Tx, l *loan, fn handler) (draft, error) {
	defer l.end(ctx)
	return fn(ctx, &guard{tx: tx, loan: l})
}

// intact tells whether the handler has left a transaction that its reply can be
// written in, or after whose undoing, when it is a refusal.
func intact(conn *pgx.Conn, refused bool) error {
	switch pg := conn.PgConn(); {
	case pg.IsClosed():
		return &undoneError{errConnectionLost}
	case pg.IsBusy():
		return fmt.Errorf("%w: it returned before it had read or closed all rows", ErrTxMisuse)
	case pg.TxStatus() == 'I':
		return errEnded
	case pg.TxStatus() == 'E' && !refused:
		return fmt.Errorf("%w: a statement failed and it returned no error", ErrTxMisuse)
	}
	return nil
}

// handlerFailed tells an error of the handler from a transaction that was undone
// under it and may be run again, and from one that cannot be undone any more.
func handlerFailed(ctx context.Context, conn *pgx.Conn, err error, givenUp bool) error {
	if !conn.IsClosed() && conn.PgConn().TxStatus() == 'I' {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	lost := conn.IsClosed() && ctx.Err() == nil && !givenUp && !gaveUp(err)
	if undone(err) || lost {
		return &undoneError{err}
	}
	return err
}

// storeArgs are the arguments of store and put. begunAt is zero where the
// transaction need not be recognized.
func (s *Store) storeArgs(id keyID, f Fingerprint, d draft, ttl time.Duration, begunAt time.Time) []any {
	var begun *time.Time
	if !begunAt.IsZero() {
		begun = &begunAt
	}
	return []any{
		id.scope, id.key, f[:], string(d.stored.response), d.stored.body, d.refused, ttl.Microseconds(), begun,
		d.stored.sealed, s.retained(ttl),
	}
}

// retained is how long a key is known whose reply lives for ttl, in microseconds, or
// nil when it is deleted with its reply.
func (s *Store) retained(ttl time.Duration) *int64 {
	if s.config.Retention == 0 {
		return nil
	}
	until := (ttl + s.config.Retention).Microseconds()
	return &until
}

// queueReply queues what writes the reply, and returns how many results come
// before the one that tells its times.
func (s *Store) queueReply(b *pgx.Batch, c *call, dead *row, d draft, begunAt time.Time) int {
	before := b.Len()
	if dead != nil {
		b.Queue(s.sql.bury, c.id.scope, c.id.key, s.config.OnExpired == Rerun)
		before++
	}
	b.Queue(s.sql.store, s.storeArgs(c.id, c.fingerprint, d, c.ttl, begunAt)...)
	return before
}

// oursQuery finds the row that the draft was written to.
func (s *Store) oursQuery(c *call, d draft) query {
	return query{s.sql.ours, []any{
		c.id.scope, c.id.key, c.fingerprint[:], string(d.stored.response), d.stored.body, d.refused,
	}}
}

// queueLocks queues the locks on the key for a transaction that has none, and
// the bound on the wait for them.
func (s *Store) queueLocks(b *pgx.Batch, c *call) {
	b.Queue(setLockTimeout, milliseconds(s.config.MaxWait))
	b.Queue(awaitFingerprint, c.fingerprintLock())
	b.Queue(awaitKey, c.keyLock)
}

// readWritten reads the reply's times, behind as many results as before says, and
// ends the batch. After an error, stored tells that it came later than the reply.
func readWritten(br pgx.BatchResults, before int) (w written, stored bool, err error) {
	if err = skip(br, before); err == nil {
		err = w.scan(br.QueryRow())
	}
	stored = err == nil
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	return w, stored, err
}

// notStored explains why the server has refused to write the reply.
func (s *Store) notStored(err error) error {
	switch code := sqlState(err); {
	case code == uniqueViolation, undone(err):
		// Another has the key: there is an answer to look up.
		return &undoneError{s.failed("store the reply", err)}
	case code == notNullViolation && columnOf(err) == "created_at", code == noSuchSavepoint:
		return errReplaced
	case code == lockNotAvailable:
		return &InFlightError{RetryAfter: retryAfter}
	case code == divisionByZero:
		return fmt.Errorf("%w: a trigger or a rule on the table swallows it", ErrReplyNotStorable)
	case notStorable(err):
		return fmt.Errorf("%w: PostgreSQL refuses it with SQLSTATE %s", ErrReplyNotStorable, code)
	}
	return s.failed("store the reply", err)
}

// row is the draft as look.sql will show it.
func (d draft) row(c *call, w written) *row {
	return &row{
		Fingerprint: c.fingerprint[:],
		Response:    d.response,
		Body:        d.body,
		Refused:     d.refused,
		CreatedAt:   w.CreatedAt,
		ExpiresAt:   w.ExpiresAt,
		SecondsLeft: c.ttl.Seconds(),
	}
}

// backoff is about 5 ms before the second attempt and doubles from there: the
// transaction that won is over by then, and two losers do not meet again.
func backoff(attempts int) time.Duration {
	base := 5 * time.Millisecond << min(attempts, 6)
	return base/2 + rand.N(base)
}
