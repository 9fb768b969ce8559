package history

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// receipt is the reply of all handlers: the number of the run.
type receipt struct {
	Number int64 `json:"number"`
}

// call is one call of a client, on its way.
type call struct {
	process *process
	client  int
	plan    plan
	key     string
	began   int64
	hangUp  context.CancelFunc
	runs    []*run
}

// perform makes the call and records it.
func (p *process) perform(client int, planned plan) {
	ctx, cancel := context.WithTimeout(context.Background(), planned.timeout)
	defer cancel()
	c := &call{process: p, client: client, plan: planned, key: p.round.keys[planned.key], hangUp: cancel}
	c.began = p.round.now()
	switch planned.mode {
	case "Get":
		c.get(ctx)
	case "DoPool":
		c.recordPool(c.make(ctx))
	default:
		c.record(c.make(ctx))
	}
	for _, r := range c.runs {
		p.round.returns(r.number)
	}
}

func (c *call) make(ctx context.Context) (output, error) {
	switch {
	case c.plan.killedAt > 0:
		return c.callInChild()
	case c.plan.mode == "Do":
		return c.do(ctx)
	case c.plan.mode == "DoBatch":
		return c.doBatch(ctx)
	case c.plan.mode == "DoTx":
		return c.doTx(ctx)
	default:
		return c.doPool(ctx)
	}
}

func (c *call) request() idemtx.Request {
	return request(c.process.round.scope, c.key, c.plan.payload, c.plan.duplicate)
}

// alarm is what a handler panics with.
type alarm struct{}

// recovered makes an error of a handler's panic that has come through.
func recovered(err *error) {
	switch cause := recover().(type) {
	case nil:
	case alarm:
		*err = errors.New("the handler has panicked")
	default:
		panic(cause)
	}
}

func (c *call) do(ctx context.Context) (out output, err error) {
	defer recovered(&err)
	r, err := idemtx.Do(ctx, c.process.store, c.request(), c.inTx)
	return c.told(r), err
}

func (c *call) doPool(ctx context.Context) (out output, err error) {
	defer recovered(&err)
	r, err := idemtx.DoPool(ctx, c.process.store, c.request(), c.inPool)
	return c.told(r), err
}

// doTx is the caller of DoTx, too: what was replied is true when it has committed.
func (c *call) doTx(ctx context.Context) (output, error) {
	tx, err := c.process.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: c.plan.isolation})
	if err != nil {
		return output{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = tx.Rollback(ctx) // of no effect after a commit
	}()
	out, err := c.callDoTx(ctx, tx)
	switch {
	case err != nil:
		// The caller has work of its own to commit, or has not. Nothing of the
		// handler's may come with it.
		if c.plan.commits {
			_ = tx.Commit(ctx)
		}
		return out, err
	case out.outcome == replayed:
		return out, nil // whatever becomes of the caller
	case !c.plan.commits:
		return out, errRolledBack
	}
	switch err := tx.Commit(ctx); {
	case err == nil:
		return out, nil
	case errors.Is(err, pgx.ErrTxCommitRollback), refused(err):
		return out, err
	default:
		return out, errors.Join(idemtx.ErrOutcomeUnknown, err)
	}
}

var errRolledBack = errors.New("the caller has rolled back")

func (c *call) callDoTx(ctx context.Context, tx pgx.Tx) (out output, err error) {
	defer recovered(&err)
	r, err := idemtx.DoTx(ctx, c.process.store, tx, c.request(), c.inTx)
	return c.told(r), err
}

// refused tells that the server has said no. After a FATAL, it may have committed.
func refused(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR"
}

// told is a reply as it was told.
func (c *call) told(r idemtx.Reply[receipt]) output {
	out := output{outcome: done, reply: reply{number: r.Value.Number, payload: c.plan.payload, refused: r.Refused}}
	if r.Replayed {
		out.outcome = replayed
	}
	return out
}

func (c *call) get(ctx context.Context) {
	e, err := c.process.store.Get(ctx, c.process.round.scope, c.key)
	out := output{outcome: done}
	switch {
	case err == nil:
		out.reply = c.process.round.stored(e.Response, e.Refused, e.Fingerprint[:])
	case !errors.Is(err, idemtx.ErrNotFound):
		out = output{outcome: failed, cause: firstLine(err)}
	}
	c.process.round.add(c.client, c.key, c.began, input{kind: get}, out)
}

// judged is what is known after an error.
func (c *call) judged(told output, err error) (out output) {
	out = told
	var last reply
	if len(c.runs) > 0 {
		last = c.runs[len(c.runs)-1].draft
	}
	defer func() {
		for _, r := range c.runs {
			out.runs = append(out.runs, r.number)
		}
	}()
	switch {
	case errors.Is(err, idemtx.ErrOutcomeUnknown):
		if last == (reply{}) {
			c.process.round.t.Errorf("the outcome is unknown of a call whose handler has drafted no reply: %v", err)
		}
		out = output{outcome: unknown, reply: last, cause: firstLine(err)}
	case errors.Is(err, idemtx.ErrExpired):
		out = output{outcome: expired}
	case err != nil:
		out = output{outcome: failed, reply: last, cause: firstLine(err)}
	case out.outcome == done && out.reply != last:
		c.process.round.t.Errorf("the reply is %v, and that of the last run is %v", out.reply, last)
	}
	return out
}

func (c *call) record(out output, err error) {
	c.process.round.add(c.client, c.key, c.began, input{whole, c.plan.mode, c.plan.payload}, c.judged(out, err))
}

// recordPool records the claim, the work and the saving, which are three.
func (c *call) recordPool(out output, err error) {
	if len(c.runs) == 0 {
		c.record(out, err)
		return
	}
	r := c.runs[0]
	round := c.process.round
	in := func(k kind) input { return input{k, c.plan.mode, c.plan.payload} }
	round.addUntil(r.began, c.client, c.key, c.began, in(claim), output{
		outcome: done, reply: reply{number: r.number}, lapses: round.lapses,
	})
	if r.workBegan > 0 {
		round.addUntil(r.workEnded, c.client, c.key, r.workBegan, in(work), output{outcome: r.worked, reply: reply{number: r.number}})
	}
	out = c.judged(out, err)
	out.reply.number = r.number // also of a run without a draft
	round.add(c.client, c.key, r.ended, in(leave), out)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
