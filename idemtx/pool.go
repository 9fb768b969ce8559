package idemtx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/scope"
)

// DoPool runs fn, which does its work wherever it likes, and stores its reply on
// a connection of the pool. It is for work that cannot be done in one
// transaction, and it promises less than Do and DoTx:
//
//   - Between the end of the work and the saving of the reply there is a gap. A
//     process that dies in it, or in the middle of the work, leaves a claimed
//     key. When the claim's lease ends, the next request runs the work again,
//     from its beginning.
//   - A handler that is cut off from the database for longer than its lease may
//     run beside another one for the same key. Its reply is then not stored. The
//     context of fn is canceled when that is noticed.
//
// Before fn runs, the key is claimed; others wait for it, or are refused, as in
// Do. The lease is renewed while fn runs. An error of fn, and a panic, gives the
// claim back, so that a retry runs fn again. With [ErrRefused] the reply is kept,
// but nothing is undone.
//
// When fn has succeeded and its reply could not be saved, the reply is returned
// with [ErrOutcomeUnknown], and the key stays claimed until its lease ends. The
// work is done; it has not failed. The same goes for a reply that can never be
// stored, whose error is [ErrReplyNotStorable]: each retry after the lease does
// the work again.
//
// It needs a pool of at least two connections, and one more than its handlers hold
// at a time, those of Do and DoTx included: a renewal waits for a connection like
// everybody else, and a lease that was not renewed is lost.
func DoPool[T any](ctx context.Context, s *Store, r Request, fn func(ctx context.Context) (T, error)) (Reply[T], error) {
	return answer[T](ctx, s, ModeDoPool, r, func(ctx context.Context, c *call) (result, error) {
		if s.maxConns < 2 {
			return result{}, fmt.Errorf("idemtx: the pool has MaxConns %d; DoPool needs at least 2, "+
				"one to renew the lease while the handler has the other", s.maxConns)
		}
		return s.recalled(ctx, c, func(ctx context.Context, c *call) (result, error) {
			return s.doPool(ctx, c, func(ctx context.Context, done func()) (draft, error) {
				value, err := fn(ctx)
				if err == nil || errors.Is(err, ErrRefused) {
					done()
				}
				return encode(s, value, err)
			})
		})
	})
}

// Get returns the live reply under a key, or [ErrNotFound]. A request in flight
// has none. Where synchronous_standby_names is set, it waits until a standby has the
// reply, for which the role needs UPDATE on the table, unless its transactions are
// read only by default.
func (s *Store) Get(ctx context.Context, sc scope.Scope, key string) (Entry, error) {
	r, err := s.get(ctx, s.pool, sc, key)
	if err != nil {
		return Entry{}, err
	}
	if r.Unconfirmed {
		id := s.idOf(sc, key)
		if _, err := s.exec(ctx, s.sql.confirm, id.scope, id.key); err != nil {
			return Entry{}, s.failed("confirm the reply", err)
		}
	}
	return r.entry(), nil
}

// Put stores a reply unless the key has a live one or is claimed, and tells
// whether it did: the first writer wins. Under [RefuseExpired] a key that has expired
// is not free either, although Get finds nothing. It commits on a connection of the
// pool, separately from any work; [Store.PutTx] does not.
//
// Entry.Response must be JSON that jsonb can hold, or the error is
// [ErrReplyNotStorable].
func (s *Store) Put(ctx context.Context, sc scope.Scope, key string, e Entry) (stored bool, err error) {
	stored, err = s.putEntry(ctx, s.pool, sc, key, e)
	if err == nil {
		err = ctx.Err() // as in transact
	}
	return stored && err == nil, err
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// batcher is a pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func (s *Store) get(ctx context.Context, db querier, sc scope.Scope, key string) (*row, error) {
	if err := validID(sc, key); err != nil {
		return nil, err
	}
	id := s.idOf(sc, key)
	r, err := s.look(ctx, db, id)
	switch {
	case err != nil:
		return nil, err
	case r == nil, !r.answered():
		return nil, ErrNotFound
	}
	return s.opened(ctx, id, r)
}

// look returns what is under a key, or nil.
func (s *Store) look(ctx context.Context, db querier, id keyID) (*row, error) {
	r, err := scanRow(db.QueryRow(ctx, s.sql.look, id.scope, id.key))
	if err != nil {
		return nil, s.failed("look up the key", err)
	}
	return r, nil
}

func (s *Store) putEntry(ctx context.Context, db batcher, sc scope.Scope, key string, e Entry) (bool, error) {
	if err := validID(sc, key); err != nil {
		return false, err
	}
	if err := validTTL(e.TTL); err != nil {
		return false, err
	}
	d := draft{response: e.Response, body: e.Body, refused: e.Refused}
	if err := s.storable(d); err != nil {
		return false, err
	}
	id, ttl := s.idOf(sc, key), cmp.Or(e.TTL, s.config.TTL)
	if err := s.seal(ctx, id, e.Fingerprint, &d); err != nil {
		return false, err
	}
	b := &pgx.Batch{}
	b.Queue(s.sql.bury, id.scope, id.key, s.config.OnExpired == Rerun)
	b.Queue(s.sql.put, s.storeArgs(id, e.Fingerprint, d, ttl, time.Time{})...)
	br := db.SendBatch(ctx, b)
	err := skip(br, 1)
	var tag pgconn.CommandTag
	if err == nil {
		tag, err = br.Exec()
	}
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil && notStorable(err):
		return false, s.notStored(err)
	case err != nil:
		return false, s.failed("put the reply", err)
	}
	return tag.RowsAffected() == 1, nil
}
