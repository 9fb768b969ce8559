package ours

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemtx"
)

// openDoBatch has PostgreSQL make the reply of the effect's id and the body.
func openDoBatch(c *client) contender.Handle {
	sql := c.effect + `, $2::jsonb AS body`
	return func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		work := &pgx.Batch{}
		work.Queue(sql, r.Key, c.Reply)
		reply, err := idemtx.DoBatch[json.RawMessage](ctx, c.store, c.request(r), work)
		return reply.Value, reply.Replayed, err
	}
}
