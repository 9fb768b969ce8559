package idemtx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// turn is one caller's turn at a key in Do, with its connection and transaction.
type turn struct {
	store *Store
	call  *call

	conn  *pgxpool.Conn // nil while there is none
	tx    pgx.Tx
	found finding

	rush    *pipeline // to be tried before anything is asked; nil in Do
	failure error     // the cause of the last attempt's undoing
	ran     bool
	answer  *row // for those behind in the line
}

// do runs fn in a transaction of its own, unless the key is answered. rush, unless
// it is nil, is a pipeline that does the same and is tried first.
func (s *Store) do(ctx context.Context, c *call, rush *pipeline, fn handler) (result, error) {
	answer, err := s.takeTurn(ctx, c)
	if answer != nil || err != nil {
		return result{answer, true}, err
	}
	t := &turn{store: s, call: c, rush: rush}
	defer t.end(ctx)
	for tries := 0; ; tries++ {
		runs := c.runs
		r, err := t.attempt(ctx, fn)
		var undone *undoneError
		if !errors.As(err, &undone) {
			t.answer = r.row
			return r, err
		}
		t.failure = undone.cause
		// One look more than attempts: the last may have found the key taken.
		if t.close(ctx); tries >= s.config.MaxAttempts && c.runs == runs {
			return result{}, t.failure
		}
		if err := sleep(ctx, backoff(tries)); err != nil {
			return result{}, err
		}
		c.deadline = time.Now().Add(s.config.MaxWait)
	}
}

// takeTurn waits in line. Without an answer or an error it is the call's turn.
func (s *Store) takeTurn(ctx context.Context, c *call) (*row, error) {
	c.place = s.queue.join(c.id)
	passedOn, err := c.place.await(ctx, c)
	if err != nil {
		return nil, err
	}
	return c.judge(passedOn, s.config.OnExpired)
}

// attempt asks about the key and, if it is free, runs the handler.
func (t *turn) attempt(ctx context.Context, fn handler) (result, error) {
	if answer, err := t.store.peek(ctx, t.call); answer != nil || err != nil {
		return result{answer, true}, err
	}
	if p := t.rush; p != nil {
		t.rush = nil
		if r, err := t.send(ctx, p); r.row != nil || err != nil {
			return r, err
		}
	}
	found, answer, err := t.store.find(ctx, t.call, t)
	switch {
	case undone(err), err != nil && t.conn != nil && t.conn.Conn().IsClosed() && ctx.Err() == nil:
		return result{}, &undoneError{err} // the latter as after a restart of the server
	case answer != nil || err != nil:
		return result{answer, true}, err
	}
	if t.call.runs == t.store.config.MaxAttempts {
		return result{}, t.failure
	}
	t.found, t.ran = found, true
	t.call.tookOver = found.row != nil && found.row.claimed()
	t.call.runs++
	t.call.place.runs(t.call.fingerprint)
	d, err := t.store.work(ctx, t.call, t.tx, fn)
	if err != nil {
		return result{}, t.orOutrun(ctx, err)
	}
	if d.refused {
		return t.keep(ctx, d)
	}
	return t.commit(ctx, d)
}

// orOutrun has the next attempt answer when the work has failed on a snapshot that
// does not show another call's answer. One that lasts is taken in front of the lock,
// and what is committed between the two may be what the work has failed for. Work that
// has not failed is undone when its reply finds the row.
func (t *turn) orOutrun(ctx context.Context, failure error) error {
	if failure == nil || !t.found.lock.SnapshotLasts || errors.As(failure, new(*undoneError)) || errors.Is(failure, ErrTxMisuse) {
		return failure
	}
	var r *row
	same, err := t.undo(ctx, func(b *pgx.Batch) {
		b.Queue(t.store.sql.look, t.call.id.scope, t.call.id.key).QueryRow(func(answer pgx.Row) (err error) {
			r, err = scanRow(answer)
			return err
		})
	})
	switch {
	case !same:
		return fmt.Errorf("%w: %w", errReplaced, failure)
	case err != nil, r == nil, !r.answered():
		return failure
	}
	return &undoneError{failure}
}

// open begins the transaction, takes the lock and looks up the key in one round
// trip: the one that BEGIN alone would take.
func (t *turn) open(ctx context.Context) (finding, error) {
	t.close(ctx)
	t.call.place.asks()
	conn, err := t.store.pool.Acquire(ctx)
	if err != nil {
		return finding{}, t.store.failed("connect", err)
	}
	b := &pgx.Batch{}
	b.BeginTx(t.store.config.TxOptions)
	b.Queue(t.store.sql.lock, t.call.keyLock, t.call.fingerprintLock())
	b.Queue(t.store.sql.look, t.call.id.scope, t.call.id.key)
	t.conn = conn // before a tracer or a codec can panic
	br := conn.SendBatch(ctx, b)
	t.tx = br.Tx()
	return t.store.readFinding(br, 1)
}

func (t *turn) pause(ctx context.Context) { t.close(ctx) }

// reopens: a snapshot that is older than the lock cannot show what the last
// holder has written, so the handler must not run on it.
func (t *turn) reopens(f finding) bool { return f.lock.SnapshotLasts }

func (t *turn) confirm(ctx context.Context) error {
	b := &pgx.Batch{}
	b.Queue(t.store.sql.confirm, t.call.id.scope, t.call.id.key)
	b.Queue("commit")
	return cmp.Or(t.conn.SendBatch(ctx, b).Close(), ctx.Err())
}

func (t *turn) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return t.conn.SendBatch(ctx, b)
}

// commit writes the reply and commits, in the one round trip that COMMIT alone
// would take.
func (t *turn) commit(ctx context.Context, d draft) (result, error) {
	b := &pgx.Batch{}
	before := t.store.queueReply(b, t.call, t.found.row, d, t.found.lock.BegunAt)
	b.Queue(cmp.Or(t.store.config.TxOptions.CommitQuery, "commit"))
	return t.finish(ctx, b, before, d)
}

// keep undoes what the handler has done and commits its refusal alone, in a
// transaction of its own. In between the lock is let go; should another call take
// the key there, that one's answer stands.
func (t *turn) keep(ctx context.Context, d draft) (result, error) {
	if err := t.startOver(ctx); err != nil {
		return result{}, err
	}
	b := &pgx.Batch{}
	before := t.store.queueReply(b, t.call, t.found.row, d, time.Time{})
	b.Queue("commit")
	return t.finish(ctx, b, before, d)
}

// startOver undoes what the handler has done and takes the key's lock in a new
// transaction. Not with the reply: on a connection that is lost with both on the way,
// a free lock would not mean that it will not land.
func (t *turn) startOver(ctx context.Context) error {
	same, err := t.undo(ctx, func(b *pgx.Batch) {
		b.Queue(begin)
		t.store.queueLocks(b, t.call)
	})
	switch {
	case !same: // and it may be the handler that has the lock
		return errReplaced
	case err != nil:
		return t.notStartedOver(ctx, err)
	}
	return nil
}

// undo undoes what the handler has done and sends what queue queues behind it. It
// tells whether that was in the transaction that the handler was given; in one that a
// statement has broken, this cannot be told.
func (t *turn) undo(ctx context.Context, queue func(*pgx.Batch)) (same bool, err error) {
	same = true
	b := &pgx.Batch{}
	if t.conn.Conn().PgConn().TxStatus() == 'T' {
		b.Queue(`SELECT transaction_timestamp() = $1`, t.found.lock.BegunAt).QueryRow(
			func(row pgx.Row) error { return row.Scan(&same) })
		b.Queue("rollback")
	} else if _, err := t.conn.Exec(ctx, "rollback"); err != nil { // nothing else can be prepared
		return same, err
	}
	queue(b)
	err = t.conn.SendBatch(ctx, b).Close() // which reads the answers
	return same, err
}

func (t *turn) notStartedOver(ctx context.Context, err error) error {
	if sqlState(err) == lockNotAvailable {
		return &InFlightError{RetryAfter: retryAfter}
	}
	err = t.store.failed("undo a refused request", err)
	if undone(err) || t.conn.Conn().IsClosed() && ctx.Err() == nil {
		return &undoneError{err}
	}
	return err
}

// finish sends the batch that ends with COMMIT and finds out what came of it.
func (t *turn) finish(ctx context.Context, b *pgx.Batch, before int, d draft) (result, error) {
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	// Cut off by ctx, a COMMIT would be neither done nor undone for all we know.
	ctx, cancel := outlive(ctx, commitGrace)
	defer cancel()
	t.call.place.asks()
	sent := time.Now()
	br := t.conn.SendBatch(ctx, b)
	w, stored, err := readWritten(br, before)
	switch {
	case err == nil && ctx.Err() == nil:
		return result{row: d.row(t.call, w)}, nil
	case err == nil: // a cancel request may have kept COMMIT from waiting for a standby
	case t.conn.Conn().IsClosed(): // an error may be a pooler's, who lost the server
	case rejected(err) && stored && undone(err):
		return result{}, &undoneError{err}
	case rejected(err) && stored:
		return result{}, t.store.failed("commit", err) // as a deferred constraint of the handler's
	case rejected(err):
		return result{}, t.store.notStored(err)
	case inTransaction(t.conn.Conn()): // COMMIT was not sent, as when a codec fails
		return result{}, &valueError{errUnsent, "store the reply", err}
	}
	t.close(ctx)
	r, err := t.settle(ctx, t.store.oursQuery(t.call, d), sent)
	if r.row != nil && r.row.Sealed { // by this call, whose context may be over by now
		r.row.Response, r.row.Body, r.row.Sealed = d.response, d.body, false
	}
	return r, err
}

// close rolls back what is open and gives the connection back.
func (t *turn) close(ctx context.Context) {
	if t.conn == nil {
		return
	}
	conn, tx := t.conn, t.tx
	t.conn, t.tx = nil, nil
	defer conn.Release() // come what may: the pool has no other
	rollback(ctx, conn.Conn(), tx)
}

// end lets the next caller have its turn. A replay does not wait for its
// rollback, which undoes nothing; a refusal does, because the locks it holds
// until then would hide from the next one that the request in flight differs.
func (t *turn) end(ctx context.Context) {
	end := func(ctx context.Context) {
		defer t.call.place.leave(t.answer)
		t.close(ctx)
	}
	if t.answer != nil && !t.ran && t.conn != nil {
		t.call.place.answers()
		go end(context.Background()) // some frameworks' contexts are of the next request by then
	} else {
		end(ctx)
	}
}
