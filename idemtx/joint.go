package idemtx

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The savepoint that a call of DoTx takes in its caller's transaction. PostgreSQL
// keeps savepoints of one name apart by their order, so calls may be nested. A
// handler's own of that name would be taken for it: hence one that nobody gives.
const (
	savepoint           = `savepoint "idemtx: before the handler"`
	rollbackToSavepoint = `rollback to savepoint "idemtx: before the handler"`
	releaseSavepoint    = `release savepoint "idemtx: before the handler"`
)

// joint is a call of DoTx, in the transaction of its caller.
type joint struct {
	store *Store
	call  *call
	tx    pgx.Tx

	saved bool // there is a savepoint to go back to
	found finding
}

// doTx runs fn in the caller's transaction, unless the key is answered. Unless
// fn's reply is written, nothing is left of the call in the transaction.
func (s *Store) doTx(ctx context.Context, c *call, tx pgx.Tx, fn handler) (r result, err error) {
	if tx.Conn() == nil { // it has failed to begin
		return r, fmt.Errorf("idemtx: take a savepoint: %w", pgx.ErrTxClosed)
	}
	if inHand(tx, c.keyLock) {
		return r, errOwnKey
	}
	j := &joint{store: s, call: c, tx: tx}
	written := false
	defer func() {
		if !written {
			j.undo(ctx)
		}
	}()
	found, answer, err := s.find(ctx, c, j)
	s.prepared.note(tx.Conn(), err == nil && s.execMode != pgx.QueryExecModeDescribeExec)
	if answer != nil || err != nil {
		return result{answer, true}, err
	}
	j.found = found
	c.tookOver = found.row != nil && found.row.claimed()
	c.runs++
	d, err := s.work(ctx, c, tx, fn)
	if err == nil {
		r, err = j.write(ctx, d)
	}
	var undone *undoneError
	if errors.As(err, &undone) {
		return j.taken(ctx, undone.cause)
	}
	written = err == nil
	return r, err
}

// open takes a savepoint, or goes back to it, and asks for lock and row.
func (j *joint) open(ctx context.Context) (finding, error) {
	b := &pgx.Batch{}
	before := 0
	switch {
	case j.saved:
		if err := j.goBack(ctx); err != nil {
			return finding{}, err
		}
	case j.store.prepared.on(j.tx.Conn()):
		b.Queue(savepoint)
		before++
	default:
		// pgx prepares the statements of a batch before the first is run, so one
		// that cannot be prepared would break the caller's transaction. On a
		// connection that has not run them yet, the savepoint goes first.
		if _, err := j.tx.Exec(ctx, savepoint); err != nil {
			return finding{}, j.store.failed("take a savepoint", err)
		}
		j.saved = true
	}
	b.Queue(j.store.sql.lock, j.call.keyLock, j.call.fingerprintLock())
	b.Queue(j.store.sql.look, j.call.id.scope, j.call.id.key)
	br := j.tx.SendBatch(ctx, b)
	if err := skip(br, before); err != nil {
		_ = br.Close()
		return finding{}, j.store.failed("take a savepoint", err)
	}
	j.saved = true
	return j.store.readFinding(br, 0)
}

// goBack undoes what came after the savepoint. It is sent by itself: in a
// transaction that a failed statement has broken, nothing else can be prepared.
func (j *joint) goBack(ctx context.Context) error {
	_, err := j.tx.Exec(ctx, rollbackToSavepoint)
	switch {
	case sqlState(err) == noSuchSavepoint:
		return errReplaced
	case err != nil:
		return j.store.failed("go back to the savepoint", err)
	}
	return nil
}

func (j *joint) pause(context.Context) {}

// reopens never: going back to the savepoint would let go of the lock, and the
// caller's snapshot stays what it is.
func (j *joint) reopens(finding) bool { return false }

// confirm leaves it to the caller's COMMIT to wait.
func (j *joint) confirm(ctx context.Context) error {
	_, err := j.tx.Exec(ctx, j.store.sql.confirm, j.call.id.scope, j.call.id.key)
	return err
}

func (j *joint) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return j.tx.SendBatch(ctx, b)
}

// write writes the reply and gives up the savepoint. A refusal goes back to the
// savepoint first, which undoes the handler's writes and lets go of the lock.
func (j *joint) write(ctx context.Context, d draft) (result, error) {
	b := &pgx.Batch{}
	if d.refused {
		if err := j.goBack(ctx); err != nil {
			return result{}, err
		}
		j.store.queueLocks(b, j.call)
		b.Queue(setLockTimeout, j.found.lock.LockTimeout)
	}
	before := j.store.queueReply(b, j.call, j.found.row, d, j.found.lock.BegunAt)
	b.Queue(releaseSavepoint)
	w, _, err := readWritten(j.tx.SendBatch(ctx, b), before)
	if err != nil {
		return result{}, j.store.notStored(err)
	}
	j.saved = false
	return result{row: d.row(j.call, w)}, nil
}

// taken looks up the answer that another call has written although this one held
// the lock, or for which it would have had to. In a snapshot that cannot show it,
// the caller gets what PostgreSQL says of such snapshots.
func (j *joint) taken(ctx context.Context, cause error) (result, error) {
	if sqlState(cause) != uniqueViolation {
		return result{}, cause
	}
	f, err := j.open(ctx)
	if err != nil {
		return result{}, err
	}
	// The caller's COMMIT waits for a synchronous standby: the reply that was not
	// stored has been written to the log.
	answer, err := j.call.judge(f.row, j.store.config.OnExpired)
	if answer == nil && err == nil {
		err = fmt.Errorf("idemtx: store the reply: %w", &pgconn.PgError{
			Severity: "ERROR", Code: serializationFailure,
			Message: "could not serialize access due to a concurrent reply",
		})
	}
	return result{answer, true}, err
}

// undo goes back to the savepoint, so that the caller can go on.
func (j *joint) undo(ctx context.Context) {
	if !j.saved || over(j.tx) || j.tx.Conn().IsClosed() {
		return
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	// In one trip, as a simple query: see goBack.
	_, err := j.tx.Exec(ctx, rollbackToSavepoint+"; "+releaseSavepoint, pgx.QueryExecModeSimpleProtocol)
	if err != nil && sqlState(err) == "" && !errors.Is(err, ErrTxMisuse) {
		// As with rows left unread. The caller must not commit what the handler
		// has written without its reply.
		_ = j.tx.Conn().Close(ctx)
	}
}
