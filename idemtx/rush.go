package idemtx

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sent is what became of a pipeline.
type sent struct {
	lasts  bool // the snapshot does, from in front of the lock
	found  *row // under the key, in front of the work
	began  bool // the work, with the key free and locked
	ended  bool // the transaction was, by a statement of the work
	last   bool // statement of the work is the one to blame, or the reply it makes
	stored bool // the reply was written, and COMMIT is to blame
	reply  struct {
		Response             []byte
		CreatedAt, ExpiresAt time.Time
	}
	err error
}

// send does the whole of a request in one round trip. It returns neither a row nor an
// error when nothing was done and an attempt that asks first has to find out why.
func (t *turn) send(ctx context.Context, p *pipeline) (result, error) {
	// The server logs the statement that the pipeline stops at, in the simple protocol
	// with the key and all else in it. It has no codec, either.
	if t.store.execMode == pgx.QueryExecModeSimpleProtocol || t.store.config.Codec != nil {
		return result{}, nil
	}
	conn, err := t.store.pool.Acquire(ctx)
	if err != nil {
		return result{}, t.store.failed("connect", err)
	}
	t.conn = conn // before a rewriter, a tracer or a codec can panic
	last, err := p.last(ctx, conn.Conn())
	if err != nil || last.wants() > len(last.args) {
		return result{}, nil
	}
	// COMMIT is on the way from the beginning.
	ctx, cancel := outlive(ctx, commitGrace)
	defer cancel()
	b := &pgx.Batch{}
	b.BeginTx(t.store.config.TxOptions)
	b.Queue(t.store.sql.batchLock, t.call.keyLock, t.call.fingerprintLock())
	b.Queue(t.store.sql.look, t.call.id.scope, t.call.id.key)
	b.Queue(t.store.sql.batchFree, t.call.id.scope, t.call.id.key)
	p.queue(b, p.stored(last))
	b.Queue(cmp.Or(t.store.config.TxOptions.CommitQuery, "commit"))
	t.call.place.asks()
	began := time.Now()
	br := conn.SendBatch(ctx, b)
	t.tx = br.Tx()
	return t.became(ctx, p, readSent(br, len(p.work)), began)
}

// readSent reads the results of a pipeline whose work is n statements.
func readSent(br pgx.BatchResults, n int) (s sent) {
	if s.err = skip(br, 1); s.err == nil {
		s.err = br.QueryRow().Scan(nil, &s.lasts)
	}
	if s.err == nil {
		s.found, s.err = scanRow(br.QueryRow())
	}
	if s.err == nil {
		s.err = skip(br, 1)
	}
	if s.began = s.err == nil; s.began {
		s.ended, s.err = readWork(br, n)
	}
	if s.last = s.err == nil; s.last {
		s.err = br.QueryRow().Scan(&s.reply.Response, &s.reply.CreatedAt, &s.reply.ExpiresAt)
	}
	s.stored = s.err == nil
	// The server's error is the cause of a result that is not as expected.
	if err := br.Close(); s.err == nil || rejected(err) {
		s.err = err
	}
	return s
}

// became tells what a pipeline that was sent has come to.
func (t *turn) became(ctx context.Context, p *pipeline, s sent, began time.Time) (result, error) {
	t.found.lock.SnapshotLasts = s.lasts
	if t.ran = s.began; t.ran {
		t.call.runs++
	}
	switch conn := t.conn.Conn(); {
	case s.err == nil && ctx.Err() == nil:
		return result{row: p.row(s)}, nil
	case s.err == nil: // a cancel request may have kept COMMIT from waiting for a standby
	case errors.As(s.err, new(pgx.ErrPreprocessingBatch)),
		!rejected(s.err) && !s.began && !conn.IsClosed() && !inTransaction(conn):
		return result{}, nil // nothing was sent, as when a codec fails
	case conn.IsClosed(): // an error may be a pooler's, who lost the server
	case !rejected(s.err):
	case !s.began:
		return t.stopped(s.found)
	default:
		r, err := t.failed(s)
		return r, t.orOutrun(ctx, err)
	}
	if !t.ran {
		t.call.runs++ // it may have
	}
	p.adrift = true
	t.close(ctx)
	return t.settle(ctx, p.ours(), began)
}

// stopped answers with the row that has kept the work from being done, if it is as
// good an answer as any.
func (t *turn) stopped(found *row) (result, error) {
	answer, err := t.call.judge(found, t.store.config.OnExpired)
	if errors.Is(err, ErrInFlight) || answer != nil && answer.Unconfirmed {
		return result{}, nil
	}
	return result{answer, true}, err
}

// failed tells what it was that failed after the work had begun.
func (t *turn) failed(s sent) (result, error) {
	var e *pgconn.PgError
	switch errors.As(s.err, &e); {
	case s.stored && undone(e):
		return result{}, &undoneError{e}
	case s.stored:
		return result{}, t.store.failed("commit", e) // as a deferred constraint of the work's
	case s.ended, !inTransaction(t.conn.Conn()), endedByWork(e):
		return result{}, errReplaced // run again, it would commit again
	case undone(e):
		return result{}, &undoneError{e}
	case s.last && (e.Code != queryCanceled || e.Routine == "exec_stmt_raise"):
		// The work, its row, the reply or a trigger: what stands in one statement here
		// is done in two by the attempt that asks. An operator means what he does.
		t.call.runs--
		return result{}, nil
	}
	return result{}, s.err
}

// row is what has been sent as look.sql will show it.
func (p *pipeline) row(s sent) *row {
	return &row{
		Fingerprint: p.call.fingerprint[:],
		Response:    s.reply.Response,
		CreatedAt:   s.reply.CreatedAt,
		ExpiresAt:   s.reply.ExpiresAt,
		SecondsLeft: p.call.ttl.Seconds(),
	}
}

// ours finds the row that the pipeline has written.
func (p *pipeline) ours() query {
	return query{p.store.sql.batchOurs, []any{p.call.id.scope, p.call.id.key, p.id}}
}
