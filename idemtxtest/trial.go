package idemtxtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// trial is a handler on the bench.
type trial[T any] struct {
	*bench
	fn func(ctx context.Context, tx pgx.Tx) (T, error)
}

// outcome is what a caller of Do gets.
type outcome[T any] struct {
	reply idemtx.Reply[T]
	err   error
}

// errStuck is the error of a run that waits for ever.
var errStuck = errors.New("the run does not come to an end: it waits for what another run has not let go, " +
	"as a transaction on another connection, which was neither committed nor rolled back")

// call is one call of Do. A handler that panics when its connection is lost has
// failed, like one that returns an error.
func (c *trial[T]) call(ctx context.Context, s *idemtx.Store, key string, fn func(context.Context, pgx.Tx) (T, error)) (o outcome[T]) {
	r := c.request
	r.Key = key
	ctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, requestKey{}, r), c.bound, errStuck)
	defer cancel()
	returned := false
	defer func() {
		switch p := recover(); {
		case p != nil:
			o.err = fmt.Errorf("the handler panics: %v", p)
			c.panicked.Do(func() { c.tb.Logf("idemtxtest: the handler panics: %v\n%s", p, debug.Stack()) })
		case !returned:
			c.tb.Errorf("idemtxtest: the handler has ended its goroutine, as t.FailNow does: when a statement fails, it is to return the error")
		}
	}()
	o.reply, o.err = idemtx.Do(ctx, s, r, fn)
	returned = true
	if o.err != nil && errors.Is(context.Cause(ctx), errStuck) {
		o.err = errStuck
	}
	return o
}

// stuck ends the test when a run was stuck, because others would be, too.
func (c *trial[T]) stuck(err error, place string) {
	c.tb.Helper()
	if errors.Is(err, errStuck) {
		c.fatalf("%v\n\t%s", err, place)
	}
}

// errUndone is the handler's error in a run that is to be undone.
var errUndone = errors.New("idemtxtest: this run is to be undone")

// undone is the handler with an error in the place of its reply.
func (c *trial[T]) undone(ctx context.Context, tx pgx.Tx) (T, error) {
	value, err := c.fn(ctx, tx)
	if err != nil && !errors.Is(err, idemtx.ErrRefused) {
		return value, err
	}
	return value, errUndone
}

// settle has the client try again until it has its reply, and judges the case by
// the whole of its effects.
func (c *trial[T]) settle(key string, first outcome[T], place string) {
	c.tb.Helper()
	reply := first
	if first.err != nil {
		reply = c.call(c.ctx, c.store, key, c.fn)
		c.stuck(reply.err, place)
	}
	replay := c.call(c.ctx, c.store, key, c.fn)
	effects := c.changed()
	if err := cmp.Or(reply.err, replay.err); err != nil {
		c.report.add([]string{fmt.Sprintf("a retry with the same key fails: %v", err)}, place)
		return
	}
	var lines []string
	if !replay.reply.Replayed {
		lines = append(lines, "a retry with the same key runs the handler again, although it was answered")
	}
	if !same(reply.reply, replay.reply) {
		lines = append(lines, "the reply to a retry is not the first one's")
	}
	for _, where := range c.model.differences(c.stored(key)) {
		lines = append(lines, "the reply differs from one clean run's in "+cmp.Or(where, "the whole of it"))
	}
	for _, difference := range c.expect.compare(effects) {
		lines = append(lines, "the effects differ from one clean run's: "+difference)
	}
	c.report.add(lines, place)
}
