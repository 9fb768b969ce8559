package history

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// doBatch is a call without a handler: its work has one number, however often it is
// tried, and when it has worked twice, that is there twice.
func (c *call) doBatch(ctx context.Context) (output, error) {
	round := c.process.round
	r := &run{number: round.nextRun(), began: round.now()}
	r.draft = reply{number: r.number, payload: c.plan.payload}
	c.runs = append(c.runs, r)
	act := c.plan.acts[0]
	got, err := idemtx.DoBatch[receipt](ctx, c.process.store, c.request(), batch(act, c.key, r.number, round.meet != nil))
	if errors.Is(err, idemtx.ErrOutcomeUnknown) && act.fails() {
		return output{}, errors.New(err.Error()) // it does nothing, whenever it comes
	}
	return c.told(got), err
}

// fails tells of an act that a batch cannot do, and fails instead.
func (a act) fails() bool { return a != succeed && a != linger && a != hangUp }

// batch is the work of a DoBatch, which fails in the ways that there are.
func batch(act act, key string, number int64, meets bool) *pgx.Batch {
	b := &pgx.Batch{}
	if meets {
		b.Queue(comeTogether, meetingPoint)
	}
	if act == failEarly {
		b.Queue(insertEffect, key, nil)
	}
	if act == linger {
		b.Queue("SELECT pg_sleep(0.02)")
	}
	switch returning := insertEffect + " RETURNING number"; act {
	case failLate:
		b.Queue(insertEffect, key, number)
		b.Queue(returning, key, nil)
	case refuseEarly, refuseLate: // no row
		b.Queue(insertEffect, key, number)
		b.Queue("SELECT number FROM history.effects WHERE false")
	case panicLate: // more than one
		b.Queue(insertEffect, key, number)
		b.Queue("VALUES (1), (2)")
	default:
		b.Queue(returning, key, number)
	}
	return b
}

// isPipeline tells of the trip that is a whole DoBatch.
func isPipeline(t *pgwire.Trip) bool { return t.Has("idemtx: another request has the key") }

// strays notes that a pipeline is left to itself by its client. As long as it has not
// come, nothing holds the key for it.
func (r *round) strays(trip *pgwire.Trip) {
	if isPipeline(trip) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.astray = append(r.astray, int32(trip.Backend))
	}
}

// someAstray tells whether a pipeline may still come.
func (r *round) someAstray(ctx context.Context) bool {
	r.mu.Lock()
	backends := r.astray
	r.mu.Unlock()
	if len(backends) == 0 {
		return false
	}
	var some bool
	err := r.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY ($1))", backends).Scan(&some)
	return err != nil || some
}
