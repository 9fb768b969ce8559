package floors

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

func openPlain(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	effect := e.Effect()
	handle := func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		var id int64
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, effect, r.Key).Scan(&id)
		})
		return e.ReplyTo(id), false, err
	}
	return handle, pool.Close, nil
}
