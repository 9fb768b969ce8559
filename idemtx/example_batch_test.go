package idemtx_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// A webhook's event is recorded and its account credited in one round trip. The row
// of the last statement is the receipt.
func ExampleDoBatch() {
	credit := func(ctx context.Context, store *idemtx.Store, whose scope.Scope, event string, p payment) (receipt, error) {
		work := &pgx.Batch{}
		work.Queue("UPDATE accounts SET cents = cents + $2 WHERE id = $1", p.Account, p.Cents)
		work.Queue("INSERT INTO payments (account, cents) VALUES ($1, $2) RETURNING id", p.Account, p.Cents)
		reply, err := idemtx.DoBatch[receipt](ctx, store, idemtx.Request{
			Scope: whose, Operation: "payment received", Key: event, Payload: p,
		}, work)
		return reply.Value, err
	}
	_ = credit
}
