package idemhttp

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

type (
	txKey      struct{}
	requestKey struct{}
)

// protectedKey is of the requests that a middleware of the store protects.
type protectedKey struct{ store *idemtx.Store }

// lend gives a protected handler its transaction.
func lend(ctx context.Context, s *idemtx.Store, tx pgx.Tx, r idemtx.Request) context.Context {
	ctx = context.WithValue(ctx, protectedKey{s}, true)
	ctx = context.WithValue(ctx, requestKey{}, r)
	return context.WithValue(ctx, txKey{}, tx)
}

// Tx returns the transaction of the request that ctx belongs to. The handler
// must do its work in it, and must not end or keep it: see [idemtx.Do].
//
// It is nil outside of a [Middleware], and for the requests that pass through
// one.
func Tx(ctx context.Context) pgx.Tx {
	tx, _ := ctx.Value(txKey{}).(pgx.Tx)
	return tx
}

// Request returns what the store knows the request as that ctx belongs to, such
// as its key, for [idemtx.DownstreamKey]. Outside of a [Middleware] it is zero,
// which DownstreamKey refuses.
func Request(ctx context.Context) idemtx.Request {
	r, _ := ctx.Value(requestKey{}).(idemtx.Request)
	return r
}

// within tells that ctx is of a request which a middleware of the same store
// protects already. A second one would wait for the first one's lock.
func within(ctx context.Context, s *idemtx.Store) bool {
	return ctx.Value(protectedKey{s}) != nil
}
