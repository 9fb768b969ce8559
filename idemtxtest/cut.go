package idemtxtest

import (
	"context"
	"errors"
	"strings"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// cut is one way to break a run at a stop.
type cut struct {
	name     string // with the stop's place in it
	meet     func(b *bench, at stop, hangUp context.CancelFunc) pgwire.Fate
	onCommit bool // makes sense there and nowhere else
	final    bool // Do does not run the handler again by itself
}

func fate(f pgwire.Fate) func(*bench, stop, context.CancelFunc) pgwire.Fate {
	return func(*bench, stop, context.CancelFunc) pgwire.Fate { return f }
}

var cuts = []cut{
	{name: "cut before {}", meet: fate(pgwire.Drop)},
	{name: "cut after {}, whose answer is lost", meet: fate(pgwire.Swallow)},
	{name: "cut during {}", meet: fate(pgwire.Abandon), onCommit: true},
	{name: "ended by the server before {}", meet: terminate},
	{name: "given up by the caller, whose context ends, at {}", meet: hangUp, final: true},
}

// terminate ends the server's end of a connection and waits until it is gone. The
// client learns of it when it sends the next trip. The session is known by its
// name, because behind PgBouncer the process id is not one of PostgreSQL's.
func terminate(b *bench, at stop, _ context.CancelFunc) pgwire.Fate {
	const session = ` FROM pg_stat_activity WHERE pid = $1 AND application_name = $2`
	pid := int64(at.trip.Backend)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	found, err := b.plain.Exec(ctx, `SELECT pg_terminate_backend(pid)`+session, pid, b.wire.name)
	there := found.RowsAffected() > 0
	b.unended = b.unended || err != nil || !there
	for there && err == nil {
		err = b.plain.QueryRow(ctx, `SELECT count(*) > 0`+session, pid, b.wire.name).Scan(&there)
	}
	return pgwire.Deliver
}

// hangUp ends the caller's context. The answer is lost with it, or it would be a
// matter of luck whether the client still hears it.
func hangUp(_ *bench, _ stop, hangUp context.CancelFunc) pgwire.Fate {
	hangUp()
	return pgwire.Swallow
}

// cutAt breaks runs at a stop, each in another way: with a client that tries
// again, and with a store that does so by itself.
func (c *trial[T]) cutAt(at stop) {
	c.tb.Helper()
	for _, k := range cuts {
		if k.onCommit && !at.ends {
			continue
		}
		c.cut(k, at.number, 1)
		if c.config.MaxAttempts > 1 && !k.final {
			c.cut(k, at.number, c.config.MaxAttempts)
		}
	}
}

func (c *trial[T]) cut(k cut, number, attempts int) {
	c.tb.Helper()
	c.begin()
	key, place := c.key(), ""
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.wire.arm(c.config.TxOptions, func(at stop) pgwire.Fate {
		if at.number != number {
			return pgwire.Deliver
		}
		place = strings.Replace(k.name, "{}", at.place, 1)
		return k.meet(c.bench, at, cancel)
	})
	first := c.call(ctx, c.open(c.wire.pool, attempts), key, c.fn)
	c.wire.arm(c.config.TxOptions, nil)
	c.stuck(first.err, "when it was "+place)
	if place == "" {
		c.report.add([]string{"the handler does not send as much in each run, so that it cannot be cut"}, "at "+c.stops[number].place)
		return
	}
	if first.err == nil && attempts > 1 {
		place += ", and Do went on by itself"
	}
	if first.err == nil || errors.Is(first.err, idemtx.ErrOutcomeUnknown) {
		c.settle(key, first, "when it was "+place)
		return
	}
	// What is left by a run that was undone was not written in the transaction.
	if lines := left(c.changed()); lines != nil {
		c.report.add(lines, "after it was "+place)
		return
	}
	c.settle(key, first, "when it was "+place+", and tried again by the caller")
}
