package idemtx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// settleAtMost is how long it may take to find out whether a COMMIT has landed,
// for a caller whose context would never end: the server may hold on for hours to
// a connection that a broken network has taken away.
const settleAtMost = 5 * time.Minute

// commitGrace is how much longer than its context a call may take when its
// COMMIT is on the way.
const commitGrace = 2 * time.Second

// settle finds out whether a COMMIT has landed whose answer was lost. The key's
// lock is free once the transaction is over, whichever way, and the row is there
// if and only if it was committed.
func (t *turn) settle(ctx context.Context, ours query, sent time.Time) (result, error) {
	r, err := t.findOut(ctx, ours, sent)
	switch {
	case err == nil:
		t.call.settled = SettledCommitted
	case errors.As(err, new(*undoneError)):
		t.call.settled = SettledUndone
	default:
		t.call.settled = SettledUnknown
	}
	return r, err
}

// findOut asks until there is an answer.
func (t *turn) findOut(ctx context.Context, ours query, sent time.Time) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, settleAtMost)
	defer cancel()
	for poll := firstPoll; ; poll = min(2*poll, lastPoll) {
		r, err := t.store.inquire(ctx, t.call, ours)
		switch {
		case err == nil:
			return result{row: r}, nil
		case errors.Is(err, ErrNotFound) && time.Since(sent) < t.call.ttl/2:
			// Not committed. Whatever row is there is another call's, and is
			// judged when the next attempt looks it up.
			return result{}, &undoneError{errConnectionLost}
		case errors.Is(err, ErrNotFound):
			// So late that the reply may have been swept.
			return result{}, ErrOutcomeUnknown
		}
		if sleep(ctx, poll) != nil {
			return result{}, fmt.Errorf("%w: the answer to COMMIT was lost: %w", ErrOutcomeUnknown, err)
		}
	}
}

// query is a statement with its arguments.
type query struct {
	sql  string
	args []any
}

// inquire looks for this call's own row when no transaction holds the key any more.
// It returns ErrNotFound when it is not there.
func (s *Store) inquire(ctx context.Context, c *call, ours query) (r *row, err error) {
	err = s.transact(ctx, func(b *pgx.Batch) {
		b.Queue(setLockTimeout, "0") // the old backend may be at its COMMIT for long
		b.Queue(awaitFingerprint, c.fingerprintLock())
		b.Queue(awaitKey, c.keyLock)
		b.Queue(ours.sql, ours.args...)
	}, func(br pgx.BatchResults) (err error) {
		if err = skip(br, 3); err == nil {
			r, err = scanRow(br.QueryRow())
		}
		return err
	})
	switch {
	case err != nil:
		return nil, s.failed("inquire after COMMIT", err)
	case r == nil:
		return nil, ErrNotFound
	}
	return r, nil
}

// outlive returns a context that ends when ctx has been over for grace.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}
