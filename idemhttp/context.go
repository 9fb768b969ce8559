package idemhttp

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// lent is what a protected handler finds in its context.
type lent struct {
	store *idemtx.Store
	tx    pgx.Tx
}

type lentKey struct{}

// Tx returns the transaction of the request that ctx belongs to. The handler
// must do its work in it, and must not end or keep it: see [idemtx.Do].
//
// It is nil outside of a [Middleware], and for the requests that pass through
// one.
func Tx(ctx context.Context) pgx.Tx {
	l, _ := ctx.Value(lentKey{}).(lent)
	return l.tx
}

// within tells that ctx is of a request which a middleware of the same store
// protects already. A second one would wait for the first one's lock.
func within(ctx context.Context, s *idemtx.Store) bool {
	l, _ := ctx.Value(lentKey{}).(lent)
	return l.store == s
}
