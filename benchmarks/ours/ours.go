// Package ours is idemtx in each of its modes.
package ours

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// Do is the contender that the targets are about.
const Do = "Do"

// Those that go beyond what a transaction costs.
const (
	DoBatch = "DoBatch"
	Cached  = "Do with idemcache"
)

// All returns the modes.
func All() []contender.Contender {
	return []contender.Contender{
		{Name: Do, Kind: contender.Ours, About: "idemtx.Do; atomic; 3 round trips, 1 commit", Open: opener(openDo)},
		{Name: Cached, Kind: contender.Ours, About: "idemtx.Do that finds a reply in the process's memory first; atomic; 3 round trips, 1 commit, none for a replay", Open: openCached},
		{Name: DoBatch, Kind: contender.Ours, About: "idemtx.DoBatch: the work is in the pipeline of the rest; atomic; 1 round trip, 1 commit", Open: opener(openDoBatch)},
		{Name: "DoTx", Kind: contender.Ours, About: "idemtx.DoTx in a transaction of the caller's; atomic; 5 round trips, 1 commit", Open: opener(openDoTx)},
		{Name: "DoPool", Kind: contender.Ours, About: "idemtx.DoPool around a transaction of the handler's; not atomic; 3 commits", Open: opener(openDoPool)},
	}
}

// client is a store and who asks it.
type client struct {
	contender.Env

	pool   *pgxpool.Pool
	store  *idemtx.Store
	owner  scope.Scope
	effect string
}

func opener(with func(*client) contender.Handle) func(context.Context, contender.Env) (contender.Handle, func(), error) {
	return func(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
		c, err := open(ctx, e, idemtx.Config{})
		if err != nil {
			return nil, nil, err
		}
		return with(c), c.pool.Close, nil
	}
}

func open(ctx context.Context, e contender.Env, config idemtx.Config) (*client, error) {
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, err
	}
	config.Schema = e.Schema
	store, err := idemtx.New(pool, config)
	if err == nil {
		err = store.CreateSchema(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &client{Env: e, pool: pool, store: store, owner: owner(), effect: e.Effect()}, nil
}

func (c *client) request(r contender.Request) idemtx.Request {
	return idemtx.Request{Scope: c.owner, Operation: operation, Key: r.Key, Payload: json.RawMessage(r.Payload)}
}

// work is the handler's.
func (c *client) work(ctx context.Context, tx pgx.Tx, key string) (json.RawMessage, error) {
	var id int64
	if err := tx.QueryRow(ctx, c.effect, key).Scan(&id); err != nil {
		return nil, err
	}
	return c.ReplyTo(id), nil
}
