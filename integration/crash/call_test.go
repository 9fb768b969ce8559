package crash

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
	"github.com/idemtx/idemtx/scope"
)

// order is the reply of the handlers here, and a row of the table effects is what
// they do. Run is the label of the call that has run the handler.
type order struct {
	Number int64
	Run    string
}

// told is what a caller gets.
type told string

const (
	nobody      told = "nobody"
	theReply    told = "the reply"
	theError    told = "an error"
	itsOwnError told = "its handler's error"
	statements  told = "its statement's error"
	unknown     told = "ErrOutcomeUnknown"
	halfUnknown told = "the reply with ErrOutcomeUnknown"
	inFlight    told = "ErrInFlight"
)

var errHandler = errors.New("out of stock")

// answer is what a call has come to.
type answer struct {
	Told     told
	Replayed bool
	Refused  bool
	Value    order
	Err      string
}

func answerOf(r idemtx.Reply[order], err error) answer {
	a := answer{Told: theReply, Replayed: r.Replayed, Refused: r.Refused, Value: r.Value}
	if err != nil {
		a.Err = err.Error()
	}
	switch {
	case err == nil:
	case errors.Is(err, idemtx.ErrOutcomeUnknown) && r.Value != order{}:
		a.Told = halfUnknown
	case errors.Is(err, idemtx.ErrOutcomeUnknown):
		a.Told = unknown
	case errors.Is(err, errHandler):
		a.Told = itsOwnError
	case isOfTheWork(err):
		a.Told = statements
	case errors.Is(err, idemtx.ErrInFlight):
		a.Told = inFlight
	default:
		a.Told = theError
	}
	return a
}

// client is a process with a store, in so far as a call with a key needs one.
type client struct {
	pool        *pgxpool.Pool
	store       *idemtx.Store
	schema, key string
}

func newClient(pool *pgxpool.Pool, schema, key string, w way) (*client, error) {
	store, err := idemtx.New(pool, storeConfig(schema, w))
	return &client{pool, store, schema, key}, err
}

// handler does its work under a label and then ends in its way, or waits first.
type handler struct {
	label  string
	ends   ending
	worked func() // is called when the work is done
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (c *client) handle(ctx context.Context, h handler, db queryer) (order, error) {
	o := order{Run: h.label}
	sql := "INSERT INTO " + c.schema + ".effects (key, run) VALUES ($1, $2) RETURNING id"
	if err := db.QueryRow(ctx, sql, c.key, h.label).Scan(&o.Number); err != nil {
		return order{}, err
	}
	if h.worked != nil {
		h.worked()
	}
	switch h.ends {
	case refusing:
		return o, idemtx.ErrRefused
	case failing:
		return order{}, errHandler
	}
	return o, nil
}

// call is one call in its mode.
func (c *client) call(ctx context.Context, mode idemtx.Mode, duplicate idemtx.Duplicate, h handler) answer {
	r, err := c.request(duplicate)
	if err != nil {
		return answerOf(idemtx.Reply[order]{}, err)
	}
	inTx := func(ctx context.Context, tx pgx.Tx) (order, error) { return c.handle(ctx, h, tx) }
	switch mode {
	case idemtx.ModeDo:
		return answerOf(idemtx.Do(ctx, c.store, r, inTx))
	case idemtx.ModeDoBatch:
		return answerOf(idemtx.DoBatch[order](ctx, c.store, r, c.work(h)))
	case idemtx.ModeDoTx:
		return answerOf(c.joined(ctx, r, inTx))
	}
	return answerOf(idemtx.DoPool(ctx, c.store, r, func(ctx context.Context) (order, error) {
		return c.handle(ctx, h, c.pool)
	}))
}

func (c *client) request(duplicate idemtx.Duplicate) (idemtx.Request, error) {
	whose, err := scope.New("tenant", "principal")
	return idemtx.Request{Scope: whose, Operation: "POST /orders", Key: c.key, Payload: "a lamp", OnDuplicate: duplicate}, err
}

// joined is a call of DoTx with its caller, who believes in a reply when it is
// committed.
func (c *client) joined(ctx context.Context, r idemtx.Request, fn func(context.Context, pgx.Tx) (order, error)) (idemtx.Reply[order], error) {
	var told idemtx.Reply[order]
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
		told, err = idemtx.DoTx(ctx, c.store, tx, r, fn)
		return err
	})
	if err != nil {
		return idemtx.Reply[order]{}, err
	}
	return told, nil
}

// warm has pgx prepare what a DoTx begins with, on a connection of the pool, and
// leaves nothing.
func (c *client) warm(ctx context.Context) error {
	whose, err := scope.New("tenant", "another")
	if err != nil {
		return err
	}
	tx, err := c.pool.Begin(ctx)
	if err != nil {
		return err
	}
	r := idemtx.Request{Scope: whose, Operation: "GET /", Key: c.key}
	_, err = idemtx.DoTx(ctx, c.store, tx, r, func(context.Context, pgx.Tx) (order, error) { return order{}, nil })
	return errors.Join(err, tx.Rollback(ctx))
}

// guide leads a call to a point, where hold keeps it until it returns what its
// trip is to meet.
type guide struct {
	point point
	armed atomic.Bool // what comes before is no part of the call
	lost  atomic.Bool // the way's lost trip, or its answer
	met   atomic.Bool
	hold  func(backend uint32) pgwire.Fate
	watch func(*pgwire.Trip) // sees the call's trips, unless it is nil
}

func (g *guide) judge(t *pgwire.Trip) pgwire.Fate {
	if !g.armed.Load() {
		return pgwire.Deliver
	}
	if g.watch != nil {
		g.watch(t)
	}
	switch w := g.point.of(); {
	case w.lost != nil && w.lost(t) && !g.lost.Swap(true):
		return w.fate
	case !g.point.is(t) || g.met.Load():
		return pgwire.Deliver
	case g.point.moment != answered:
		if g.met.Swap(true) {
			return pgwire.Deliver
		}
		return g.hold(t.Backend)
	}
	// A renewal that has given up may be answered after the next was sent.
	t.Answered = func() {
		if !g.met.Swap(true) {
			g.hold(t.Backend)
		}
	}
	return pgwire.Swallow
}

// prepare makes what a call has to find, on a connection that is not the call's
// alone.
func (c *client) prepare(ctx context.Context, w way) error {
	if w.mode == idemtx.ModeDoTx && !w.cold {
		return c.warm(ctx)
	}
	return nil
}
