package failover

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// order is the reply of the handlers, and the row that they write.
type order struct {
	Number int64 `json:"number"`
}

func (p *pair) request(key string) idemtx.Request {
	return idemtx.Request{Scope: p.scope, Operation: "POST /orders", Key: key, Payload: map[string]any{"sku": "lamp"}}
}

// rower is a transaction or a pool.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const insertOrder = "INSERT INTO orders (key) VALUES ($1) RETURNING number"

// place writes the order of a key.
func place(ctx context.Context, db rower, key string) (o order, err error) {
	err = db.QueryRow(ctx, insertOrder, key).Scan(&o.Number)
	return o, err
}

// mode is a way to place the order of a key. Sent again, it says whether it has
// been answered before.
type mode func(c *client, ctx context.Context, key string) (idemtx.Reply[order], error)

var modes = map[string]mode{
	"Do": (*client).do, "DoBatch": (*client).doBatch, "DoTx": (*client).doTx, "DoPool": (*client).doPool,
}

// whole are those whose COMMIT is idemtx's, and the order's.
var whole = map[string]mode{"Do": (*client).do, "DoBatch": (*client).doBatch}

func (c *client) do(ctx context.Context, key string) (idemtx.Reply[order], error) {
	return idemtx.Do(ctx, c.store, c.request(key), func(ctx context.Context, tx pgx.Tx) (order, error) {
		return place(ctx, tx, key)
	})
}

func (c *client) doBatch(ctx context.Context, key string) (idemtx.Reply[order], error) {
	work := &pgx.Batch{}
	work.Queue(insertOrder, key)
	return idemtx.DoBatch[order](ctx, c.store, c.request(key), work)
}

func (c *client) doTx(ctx context.Context, key string) (idemtx.Reply[order], error) {
	tx, err := c.pool.Begin(ctx)
	if err != nil {
		return idemtx.Reply[order]{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has been committed, or its error is told
	r, err := idemtx.DoTx(ctx, c.store, tx, c.request(key), func(ctx context.Context, tx pgx.Tx) (order, error) {
		return place(ctx, tx, key)
	})
	if err != nil {
		return r, err
	}
	return r, tx.Commit(ctx)
}

func (c *client) doPool(ctx context.Context, key string) (idemtx.Reply[order], error) {
	return idemtx.DoPool(ctx, c.store, c.request(key), func(ctx context.Context) (order, error) {
		return place(ctx, c.pool, key)
	})
}

// answer is what a client has heard of an order.
type answer struct {
	reply idemtx.Reply[order]
	err   error
}

// start places an order at the side.
func (c *client) start(ctx context.Context, place mode, key string) <-chan answer {
	heard := make(chan answer, 1)
	go func() {
		reply, err := place(c, ctx, key)
		heard <- answer{reply, err}
	}()
	return heard
}

// requireOneOrder requires that the standby, which is the primary by now, has one
// order of a key, and that it is the one of the reply.
func (p *pair) requireOneOrder(key string, got idemtx.Reply[order]) {
	p.t.Helper()
	require.Equal(p.t, got.Value.Number, query[int64](p.t, p.standby, "SELECT number FROM orders WHERE key = $1", key))
	require.Equal(p.t, 1, p.orders(p.standby, key))
	again, err := p.client(p.standby.URL()).do(patient(p.t), key)
	require.NoError(p.t, err)
	require.True(p.t, again.Replayed)
	require.Equal(p.t, got.Value, again.Value)
}
