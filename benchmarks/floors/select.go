package floors

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// openSelect stores a reply that it does not find, so that there is one to read.
func openSelect(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	replies := e.Schema + ".replies"
	pool, err := e.Pool(ctx, "CREATE TABLE "+replies+" (key text COLLATE \"C\" PRIMARY KEY, response jsonb NOT NULL)")
	if err != nil {
		return nil, nil, err
	}
	lookup := "SELECT response FROM " + replies + " WHERE key = $1"
	store := "INSERT INTO " + replies + " (key, response) VALUES ($1, $2)"
	effect := e.Effect()
	handle := func(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
		err = pool.QueryRow(ctx, lookup, r.Key).Scan(&reply)
		if !errors.Is(err, pgx.ErrNoRows) {
			return reply, err == nil, err
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			var id int64
			if err := tx.QueryRow(ctx, effect, r.Key).Scan(&id); err != nil {
				return err
			}
			reply = e.ReplyTo(id)
			_, err := tx.Exec(ctx, store, r.Key, reply)
			return err
		})
		return reply, false, err
	}
	return handle, pool.Close, nil
}
