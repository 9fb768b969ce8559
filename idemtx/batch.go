package idemtx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// DoBatch is [Do] for work whose SQL is known beforehand: BEGIN, the look at the
// key, the work, the reply and COMMIT go to the server in one round trip, where the
// transaction alone takes three. The server has more to do in it, so that it is the
// network that decides which of the two is faster. It is the natural call for a queue
// consumer or a webhook receiver that has one thing to write.
//
// The last statement of work has to return exactly one row. That row is the reply,
// each of its columns a member of a JSON object, made by PostgreSQL's to_jsonb and
// decoded into T. The last statement stands in a WITH clause: it may be an INSERT,
// UPDATE, DELETE, SELECT or VALUES, not a CALL, must not begin with a WITH that writes,
// and must not end in a semicolon. What the others return is read and dropped.
//
// The promise is Do's, and so is the rest. When the key has been used, is in flight or
// has expired, the pipeline ends at an error of idemtx's before the work, which the
// server's log has as "idemtx: the key has been used"; DoBatch answers with the reply
// or goes on as Do would. A statement that fails, or no row ([pgx.ErrNoRows]) or more
// than one ([pgx.ErrTooManyRows]) from the last one, undoes the work and forgets the
// key. To find out why the last statement has failed, the work is done and undone once
// more. Where the work could not see that the key had been answered, the answer is
// returned instead, as in Do. There is no handler that could return [ErrRefused].
//
// What Do finds out before COMMIT and DoBatch cannot: a reply that does not decode into
// T is stored, as the error says, and each retry gets the same error. A caller with
// [Refuse] in the process in which the work goes on is refused after half a second.
// With pgx.QueryExecModeSimpleProtocol, in which the error in the log would hold the
// key, and with [Config.Codec], as the server cannot seal, it takes the round trips of Do.
//
// A pipeline that is lost on the way may arrive later than the retry, and then ends at
// the retry's row. It would work a second time only after that has expired.
//
// work is not changed, and may be used again. It is an [ErrInvalidRequest] when it is
// empty or has callbacks, whose results would not be committed yet.
func DoBatch[T any](ctx context.Context, s *Store, r Request, work *pgx.Batch) (Reply[T], error) {
	return answer[T](ctx, s, ModeDoBatch, r, func(ctx context.Context, c *call) (result, error) {
		if err := validWork(work); err != nil {
			return result{}, err
		}
		return s.recalled(ctx, c, func(ctx context.Context, c *call) (result, error) {
			p := &pipeline{store: s, call: c, work: work.QueuedQueries, id: newID()}
			r, err := s.do(ctx, c, p, func(ctx context.Context, tx pgx.Tx) (draft, error) {
				d, err := p.run(ctx, tx)
				if err != nil {
					return draft{}, err
				}
				return checked[T](s, d)
			})
			return p.told(r, err)
		})
	})
}

func validWork(work *pgx.Batch) error {
	if work == nil || work.Len() == 0 {
		return invalid("the batch is empty")
	}
	for i, q := range work.QueuedQueries {
		if q.Fn != nil {
			return invalid("statement %d of the batch has a callback", i+1)
		}
	}
	return nil
}

// pipeline is the work of a DoBatch.
type pipeline struct {
	store *Store
	call  *call
	work  []*pgx.QueuedQuery
	id    pgtype.UUID // of the row it writes

	// adrift tells that the connection was lost with the whole pipeline on the way. As
	// long as it has not arrived, no lock says that it is still to come. It does no
	// harm to whatever is committed before.
	adrift bool
}

// told is what a later attempt has come to, as the call is told. The row that it has
// found may be the pipeline's, which has arrived by then. An error may be true only
// until it arrives, an ErrMismatch too, whose cause may be gone by then.
func (p *pipeline) told(r result, err error) (result, error) {
	switch {
	case !p.adrift || errors.Is(err, ErrOutcomeUnknown):
		return r, err
	case err == nil:
		r.replayed = r.replayed && r.row.LeaseID != p.id
		return r, nil
	}
	return result{}, fmt.Errorf("%w: the work was on the way when the connection was lost, and then: %w", ErrOutcomeUnknown, err)
}

// queue queues the work, with what its last statement has become.
func (p *pipeline) queue(b *pgx.Batch, last query) {
	for _, q := range p.work[:len(p.work)-1] {
		b.Queue(q.SQL, q.Arguments...)
	}
	b.Queue(last.sql, last.args...)
}

// last is the last statement of the work, after what pgx does with one whose
// arguments begin with a rewriter, such as pgx.NamedArgs.
func (p *pipeline) last(ctx context.Context, conn *pgx.Conn) (query, error) {
	last := p.work[len(p.work)-1]
	q := query{last.SQL, last.Arguments}
	var rewriter pgx.QueryRewriter
	for len(q.args) > 0 {
		r, ok := q.args[0].(pgx.QueryRewriter)
		if !ok {
			break
		}
		rewriter, q.args = r, q.args[1:]
	}
	if rewriter == nil {
		return q, nil
	}
	sql, args, err := rewriter.RewriteQuery(ctx, conn, q.sql, q.args)
	return query{sql, args}, err
}

// wants is how many arguments the statement may ask for, those in its strings and
// comments included. Given fewer, it would get those of the statement it stands in.
func (q query) wants() (most int) {
	_, rest, found := strings.Cut(q.sql, "$")
	for found {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits > 5 { // a statement has at most 65,535
			return math.MaxInt
		}
		n, _ := strconv.Atoi(rest[:digits])
		most = max(most, n)
		_, rest, found = strings.Cut(rest, "$")
	}
	return most
}

// stored has the row of q stored as the reply.
func (p *pipeline) stored(q query) query {
	c := p.call
	return p.store.sql.batchStore.around(q, c.id.scope, c.id.key, c.fingerprint[:],
		p.store.config.MaxReplyBytes, p.id, c.ttl.Microseconds(), p.store.retained(c.ttl))
}

// run does the work in a transaction that is asked for it.
func (p *pipeline) run(ctx context.Context, tx pgx.Tx) (draft, error) {
	last, err := p.last(ctx, tx.Conn())
	if err != nil {
		return draft{}, err
	}
	b := &pgx.Batch{}
	b.Queue("SELECT set_config('idemtx.batch', 'true', true)") // as batch_lock.sql does
	p.queue(b, p.store.sql.batchReply.around(last))
	br := tx.SendBatch(ctx, b)
	var d draft
	ended := false
	if err = skip(br, 1); err == nil {
		ended, err = readWork(br, len(p.work))
	}
	if err == nil {
		rows, _ := br.Query()
		d.response, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	}
	// The server's error is the cause of a result that is not as expected.
	if closeErr := br.Close(); err == nil || rejected(closeErr) {
		err = closeErr
	}
	if ended || endedByWork(err) {
		return draft{}, errReplaced
	}
	return d, err
}

// readWork reads the results of all statements but the last, and tells whether one of
// them has committed.
func readWork(br pgx.BatchResults, statements int) (ended bool, err error) {
	for i := 1; i < statements && err == nil; i++ {
		var tag pgconn.CommandTag
		tag, err = br.Exec()
		ended = ended || tag.String() == "COMMIT"
	}
	return ended, err
}

// endedByWork recognizes the error of batch_store.sql and batch_reply.sql.
func endedByWork(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && strings.Contains(e.Message, "idemtx: the work has ended the transaction")
}
