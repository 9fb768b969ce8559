package idemtx

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/scope"
)

// Do runs fn in a transaction that it begins, writes fn's reply into the same
// transaction, and commits: the reply is stored if and only if fn's writes are.
// A later request with the same scope and key is answered with that reply, and
// fn does not run. It is the mode to prefer. It takes no more round trips than
// the transaction alone.
//
// fn must do its work through tx. It must not end tx, keep it, or leave rows
// unread: that is an [ErrTxMisuse]. It may be called again, at most
// [Config.MaxAttempts] times in all, when PostgreSQL has undone its transaction
// (40001, 40P01), whatever fn has returned then, or the connection was lost before
// COMMIT; what it does outside of tx is then done again. When it panics, its
// writes are undone and the panic goes on. A goroutine that it leaves behind in the
// middle of a statement is waited for until that ends.
//
// An error of fn undoes its writes, forgets the key and is returned as it is,
// except for [ErrRefused]: then the writes are undone and the reply is kept.
// [Reply.Refused] tells, and the error is nil. Where fn could not see that the key had
// been answered, the answer is returned instead: see Isolation in the package's
// documentation.
//
// When the answer to COMMIT is lost, Do finds out by itself whether it has
// landed. Only when it cannot until two seconds after the end of ctx, or for five
// minutes, is the error [ErrOutcomeUnknown], and a retry with the same key is
// right.
//
// Further errors: [ErrInvalidRequest], [ErrMismatch], [ErrInFlight] (as an
// [*InFlightError]), [ErrExpired], [ErrReplyNotStorable], a [*SchemaError], or
// PostgreSQL's own.
func Do[T any](ctx context.Context, s *Store, r Request, fn func(ctx context.Context, tx pgx.Tx) (T, error)) (Reply[T], error) {
	return answer[T](ctx, s, ModeDo, r, func(ctx context.Context, c *call) (result, error) {
		return s.recalled(ctx, c, func(ctx context.Context, c *call) (result, error) {
			return s.do(ctx, c, nil, encoded(s, fn))
		})
	})
}

// DoTx is Do in a transaction of the caller's, for work that is a part of more.
// It never commits: the reply is stored if and only if the caller's transaction
// is committed, and until then others wait for the key as they do in Do. A replay
// is as safe as its own COMMIT made it once the caller has committed, too.
//
// The work of fn stands under a savepoint. After any error but a lost connection
// everything fn did is undone and tx is usable. A handler that misuses tx may cost
// it: one that ends tx has ended it, and one that leaves rows unread loses the
// connection. fn is never called twice: a serialization failure (40001) is
// returned, for the caller to begin anew.
//
// Two calls in one transaction hold two keys until it ends. Callers that take the
// same keys in another order may deadlock, which PostgreSQL ends with 40P01.
// Waiting for a key holds tx open, and its connection. Under REPEATABLE READ and
// SERIALIZABLE a key that is claimed in pool mode stays claimed as long as the
// transaction lasts, whose snapshot does not change.
func DoTx[T any](ctx context.Context, s *Store, tx pgx.Tx, r Request, fn func(ctx context.Context, tx pgx.Tx) (T, error)) (Reply[T], error) {
	return answer[T](ctx, s, ModeDoTx, r, func(ctx context.Context, c *call) (result, error) {
		if tx == nil {
			return result{}, invalid("the transaction is nil")
		}
		return s.doTx(ctx, c, tx, encoded(s, fn))
	})
}

// GetTx returns the live reply under a key as tx sees it, or [ErrNotFound]. A
// request in flight has none.
func (s *Store) GetTx(ctx context.Context, tx pgx.Tx, sc scope.Scope, key string) (Entry, error) {
	r, err := s.get(ctx, tx, sc, key)
	if err != nil {
		return Entry{}, err
	}
	return r.entry(), nil
}

// PutTx is [Store.Put] in a transaction of the caller's: the reply is stored if
// and only if it is committed. While another transaction is about to write the
// same key, PutTx waits for its end. An error of the server leaves tx aborted,
// as any statement's does; ErrInvalidRequest and ErrReplyNotStorable do not.
func (s *Store) PutTx(ctx context.Context, tx pgx.Tx, sc scope.Scope, key string, e Entry) (stored bool, err error) {
	if inHand(tx, s.lockOf(s.idOf(sc, key))) {
		return false, errOwnKey
	}
	return s.putEntry(ctx, tx, sc, key, e)
}

// encoded is fn with its reply encoded.
func encoded[T any](s *Store, fn func(context.Context, pgx.Tx) (T, error)) handler {
	return func(ctx context.Context, tx pgx.Tx) (draft, error) {
		value, err := fn(ctx, tx)
		return encode(s, value, err)
	}
}
