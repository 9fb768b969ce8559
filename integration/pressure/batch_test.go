package pressure

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// modeDoBatch knows its work before the call: the handler runs when nothing has begun,
// and says what it would do.
var modeDoBatch = mode{idemtx.ModeDoBatch, true, func(ctx context.Context, p *process, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
	q := new(queue)
	if _, err := fn(ctx, q); err != nil {
		return idemtx.Reply[order]{}, err
	}
	return idemtx.DoBatch[order](ctx, p.store, r, &q.Batch)
}}

// queue takes what a handler does for a querier that does it.
type queue struct{ pgx.Batch }

func (q *queue) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	q.Queue(sql, args...)
	return q
}

func (q *queue) Scan(...any) error { return nil }
