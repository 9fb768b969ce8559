package idemtx

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// The wait for a lock, in three statements and its bound in two. The order of
// the locks is that of sql/lock.sql.
const (
	setLockTimeout   = `SELECT set_config('lock_timeout', $1, true)`
	awaitFingerprint = `SELECT pg_advisory_xact_lock_shared($1::bigint)`
	awaitKey         = `SELECT pg_advisory_xact_lock($1::bigint)`
)

// A claim is in no lock queue, so it is looked at again and again: first soon,
// then as often as a waiting client would notice.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 200 * time.Millisecond
)

// finding is what is known of a key at one moment.
type finding struct {
	lock lockState
	row  *row
}

// dialogue is the transaction in which a call asks about its key.
type dialogue interface {
	// open asks for the lock and the row from the start: in a transaction of
	// its own, it begins a new one.
	open(ctx context.Context) (finding, error)
	// pause frees what need not be held while nothing is asked.
	pause(ctx context.Context)
	// reopens tells that a finding made after a wait is of no use, and that
	// open has to be called again.
	reopens(f finding) bool
	// confirm waits until a synchronous standby has the row, or has the caller's
	// COMMIT wait for it. See sql/confirm.sql.
	confirm(ctx context.Context) error
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// find asks about the key until it is answered, or locked for this call, or the
// call may wait no longer. The row it returns is the answer; the finding is what
// the handler will run on.
func (s *Store) find(ctx context.Context, c *call, d dialogue) (finding, *row, error) {
	f, err := d.open(ctx)
	for poll := firstPoll; err == nil; poll = min(2*poll, lastPoll) {
		answer, verdict := c.judge(f.row, s.config.OnExpired)
		var claim *InFlightError
		switch {
		case errors.As(verdict, &claim):
			f, err = s.outwait(ctx, c, d, claim, poll)
		case answer != nil:
			answer, err = s.passOn(ctx, d, answer)
			return f, answer, err
		case verdict != nil || f.lock.Held:
			return f, answer, verdict
		case c.refuse:
			f, err = s.probe(ctx, c, d, f)
		default:
			f, err = s.await(ctx, c, d, f)
		}
	}
	return f, nil, err
}

// passOn returns the answer of another call when it is as safe as its own COMMIT
// was to make it.
func (s *Store) passOn(ctx context.Context, d dialogue, answer *row) (*row, error) {
	if answer.Unconfirmed {
		if err := d.confirm(ctx); err != nil {
			return nil, s.failed("confirm the reply", err)
		}
	}
	return answer, nil
}

// outwait looks again after a while at a key that is claimed in pool mode.
func (s *Store) outwait(ctx context.Context, c *call, d dialogue, claim *InFlightError, poll time.Duration) (finding, error) {
	left := time.Until(c.deadline)
	if c.refuse || left <= 0 {
		return finding{}, claim
	}
	c.place.waits()
	d.pause(ctx)
	began := time.Now()
	err := sleep(ctx, min(poll, left))
	c.waited += time.Since(began)
	if err != nil {
		return finding{}, err
	}
	return d.open(ctx)
}

// await waits in PostgreSQL until the key's lock is free, and looks again.
func (s *Store) await(ctx context.Context, c *call, d dialogue, f finding) (finding, error) {
	left := time.Until(c.deadline)
	if left < time.Millisecond { // a lock_timeout of 0 is none
		return f, &InFlightError{RetryAfter: retryAfter}
	}
	c.place.waits()
	b := &pgx.Batch{}
	b.Queue(setLockTimeout, milliseconds(left))
	b.Queue(awaitFingerprint, c.fingerprintLock())
	b.Queue(awaitKey, c.keyLock)
	b.Queue(setLockTimeout, f.lock.LockTimeout) // the handler's again
	b.Queue(s.sql.look, c.id.scope, c.id.key)

	began := time.Now()
	br := d.SendBatch(ctx, b)
	err := skip(br, 4)
	c.waited += time.Since(began)
	if err != nil {
		_ = br.Close()
		if code := sqlState(err); ctx.Err() == nil && (code == lockNotAvailable || code == queryCanceled) {
			return f, &InFlightError{RetryAfter: retryAfter}
		}
		return f, s.failed("wait for the key", err)
	}
	f.lock.Held = true
	if f.row, err = s.lastRow(br); err != nil {
		return f, err
	}
	if d.reopens(f) {
		return d.open(ctx)
	}
	return f, nil
}

// probe finds out whether the request in flight is another one.
func (s *Store) probe(ctx context.Context, c *call, d dialogue, f finding) (finding, error) {
	b := &pgx.Batch{}
	b.Queue(s.sql.probe, c.keyLock, c.fingerprintLock())
	b.Queue(s.sql.look, c.id.scope, c.id.key)
	br := d.SendBatch(ctx, b)
	var holder string
	if err := br.QueryRow().Scan(&holder); err != nil {
		_ = br.Close()
		return f, s.failed("probe the key", err)
	}
	var err error
	if f.row, err = s.lastRow(br); err != nil {
		return f, err
	}
	switch holder {
	case "free":
		if d.reopens(f) {
			return d.open(ctx)
		}
		f.lock.Held = true
		return f, nil
	case "different":
		err = ErrMismatch
	default:
		err = &InFlightError{RetryAfter: retryAfter}
	}
	// The request in flight may have been answered a moment ago.
	if answer, verdict := c.judge(f.row, s.config.OnExpired); answer != nil || verdict != nil {
		return f, nil
	}
	return f, err
}

// readFinding reads the answers to lock.sql and look.sql, which are the last of
// a batch, behind those to before other statements.
func (s *Store) readFinding(br pgx.BatchResults, before int) (f finding, err error) {
	if err = skip(br, before); err == nil {
		err = f.lock.scan(br.QueryRow())
	}
	if err != nil {
		_ = br.Close()
		return f, s.failed("lock the key", err)
	}
	f.row, err = s.lastRow(br)
	return f, err
}

// lastRow reads the answer to look.sql and ends the batch.
func (s *Store) lastRow(br pgx.BatchResults) (*row, error) {
	r, err := scanRow(br.QueryRow())
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, s.failed("look up the key", err)
	}
	return r, nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// sleep returns early, with its error, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
