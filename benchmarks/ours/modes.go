package ours

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemtx"
)

func openDo(c *client) contender.Handle {
	return func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		reply, err := idemtx.Do(ctx, c.store, c.request(r), func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
			return c.work(ctx, tx, r.Key)
		})
		return reply.Value, reply.Replayed, err
	}
}

func openDoTx(c *client) contender.Handle {
	return func(ctx context.Context, r contender.Request) (answer []byte, replayed bool, err error) {
		err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
			reply, err := idemtx.DoTx(ctx, c.store, tx, c.request(r), func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
				return c.work(ctx, tx, r.Key)
			})
			answer, replayed = reply.Value, reply.Replayed
			return err
		})
		return answer, replayed, err
	}
}

func openDoPool(c *client) contender.Handle {
	return func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		reply, err := idemtx.DoPool(ctx, c.store, c.request(r), func(ctx context.Context) (reply json.RawMessage, err error) {
			err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
				reply, err = c.work(ctx, tx, r.Key)
				return err
			})
			return reply, err
		})
		return reply.Value, reply.Replayed, err
	}
}
