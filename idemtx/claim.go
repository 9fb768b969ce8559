package idemtx

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// claim is a call of DoPool: while its handler runs, the key is held by a row
// with a lease.
type claim struct {
	store *Store
	call  *call
	id    pgtype.UUID // whoever takes the key over has another
}

// poolHandler is the caller's function with its reply encoded. It calls done when
// the work is: an error after that, or a panic, is about the reply.
type poolHandler func(ctx context.Context, done func()) (draft, error)

// doPool runs fn while the key is claimed, unless it is answered.
func (s *Store) doPool(ctx context.Context, c *call, fn poolHandler) (result, error) {
	answer, err := s.takeTurn(ctx, c)
	if answer != nil || err != nil {
		return result{answer, true}, err
	}
	defer func() { c.place.leave(answer) }()
	if answer, err = s.peek(ctx, c); answer != nil || err != nil {
		return result{answer, true}, err
	}
	cl := &claim{store: s, call: c, id: newID()}
	if _, answer, err = s.find(ctx, c, cl); answer != nil || err != nil {
		return result{answer, true}, err
	}
	r, err := cl.run(ctx, fn)
	if err == nil {
		answer = r.row
	}
	return r, err
}

// run calls the handler under the lease.
func (cl *claim) run(ctx context.Context, fn poolHandler) (result, error) {
	cl.call.runs++
	cl.call.place.runs(cl.call.fingerprint)
	done := false
	defer func() {
		// When the work is done and its reply cannot be stored, the lease keeps
		// the work from being done again at once.
		if !done {
			cl.release(ctx, false)
		}
	}()
	var unsealed error
	d, err := cl.underLease(ctx, func(ctx context.Context) (d draft, err error) {
		if d, err = cl.handle(ctx, fn, func() { done = true }); err == nil {
			unsealed = cl.seal(ctx, &d)
		}
		return d, err
	})
	switch {
	case err != nil:
		return result{}, err
	case unsealed != nil:
		return cl.unsaved(d, unsealed)
	}
	return cl.save(ctx, d)
}

// handle calls the handler and counts its time.
func (cl *claim) handle(ctx context.Context, fn poolHandler, done func()) (draft, error) {
	began := time.Now()
	defer func() { cl.call.handled += time.Since(began) }()
	return fn(ctx, done)
}

// open claims the key, if it is free, and looks it up, in a transaction that is
// over when it returns.
func (cl *claim) open(ctx context.Context) (finding, error) {
	s, c := cl.store, cl.call
	cl.call.place.asks()
	var r *row
	err := s.transact(ctx, func(b *pgx.Batch) {
		b.Queue(s.sql.claim, c.id.scope, c.id.key, c.fingerprint[:], cl.id, s.config.Lease.Microseconds(),
			c.ttl.Microseconds(), c.keyLock, c.fingerprintLock(), s.config.OnExpired == Rerun)
		b.Queue(s.sql.look, c.id.scope, c.id.key)
	}, func(br pgx.BatchResults) (err error) {
		if err = br.QueryRow().Scan(&c.tookOver); err == nil || errors.Is(err, pgx.ErrNoRows) {
			r, err = scanRow(br.QueryRow())
		}
		return err
	})
	if err != nil {
		if !rejected(err) && !unsent(err) {
			cl.release(ctx, true)
		}
		return finding{}, s.failed("claim the key", err)
	}
	// Nothing needs restoring in a transaction that is over.
	f := finding{lock: lockState{LockTimeout: "0"}, row: r}
	if r != nil && r.claimed() && r.LeaseID == cl.id {
		f.lock.Held, f.row = true, nil
	}
	return f, nil
}

func (cl *claim) pause(context.Context) {}

// reopens always: the lock that was waited for is gone with its transaction.
func (cl *claim) reopens(finding) bool { return true }

func (cl *claim) confirm(ctx context.Context) error {
	_, err := cl.store.exec(ctx, cl.store.sql.confirm, cl.call.id.scope, cl.call.id.key)
	return err
}

func (cl *claim) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return cl.store.pool.SendBatch(ctx, b)
}

func newID() pgtype.UUID {
	id := pgtype.UUID{Valid: true}
	_, _ = rand.Read(id.Bytes[:]) // never fails
	id.Bytes[6] = id.Bytes[6]&0x0f | 0x40
	id.Bytes[8] = id.Bytes[8]&0x3f | 0x80 // version 4, RFC 9562
	return id
}
