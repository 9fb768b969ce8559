package history

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// run is one run of a call's handler.
type run struct {
	number int64
	draft  reply // zero if it has failed

	began, ended         int64
	workBegan, workEnded int64
	worked               outcome
}

// execer is a transaction or a pool.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (c *call) inTx(ctx context.Context, tx pgx.Tx) (receipt, error) { return c.handle(ctx, tx) }

func (c *call) inPool(ctx context.Context) (receipt, error) { return c.handle(ctx, c.process.pool) }

// insertEffect is the work of every handler.
const insertEffect = "INSERT INTO history.effects (key, number) VALUES ($1, $2)"

var errDeclined = errors.New("the handler has failed")

// handle is the handler of all modes.
func (c *call) handle(ctx context.Context, db execer) (receipt, error) {
	round := c.process.round
	r := &run{number: round.nextRun(), began: round.now()}
	act := c.plan.acts[len(c.runs)%len(c.plan.acts)]
	c.runs = append(c.runs, r)
	defer func() { r.ended = round.now() }()
	if round.meet != nil {
		round.meet(ctx)
	}
	switch act {
	case failEarly:
		return receipt{}, errDeclined
	case refuseEarly:
		return c.reply(r, idemtx.ErrRefused)
	}
	if err := c.work(ctx, db, r); err != nil {
		return receipt{}, err
	}
	switch act {
	case failLate:
		return receipt{}, errDeclined
	case panicLate:
		panic(alarm{})
	case refuseLate:
		return c.reply(r, idemtx.ErrRefused)
	case hangUp:
		c.hangUp()
	case linger:
		if _, err := db.Exec(ctx, "SELECT pg_sleep(0.02)"); err != nil {
			return receipt{}, err
		}
	}
	return c.reply(r, nil)
}

// work is the effect: the number of the run. Its outcome is of use in pool mode,
// where it commits by itself. An error leaves it open: the server may be at it.
func (c *call) work(ctx context.Context, db execer, r *run) error {
	round := c.process.round
	r.workBegan, r.worked = round.now(), unknown
	_, err := db.Exec(ctx, insertEffect, c.key, r.number)
	if err == nil {
		r.worked = done
	}
	r.workEnded = round.now()
	return err
}

func (c *call) reply(r *run, err error) (receipt, error) {
	r.draft = reply{number: r.number, payload: c.plan.payload, refused: err != nil}
	return receipt{Number: r.number}, err
}
