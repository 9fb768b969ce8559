package idemtxtest

import (
	"errors"
	"strings"
	"time"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// sample is what a clean run does.
type sample struct {
	stops  []stop
	delta  delta
	answer answer
}

// rehearse learns from clean runs what the handler does. Between them one is
// undone, so that numbers from a sequence differ even where Reset starts it anew.
func (c *trial[T]) rehearse() {
	c.tb.Helper()
	c.begin()
	first := c.clean(c.wire, "the first clean run")
	begun := time.Now()
	c.unlocked()

	c.begin()
	o := c.call(c.ctx, c.open(c.wire.pool, c.config.MaxAttempts), c.key(), c.undone)
	if !errors.Is(o.err, errUndone) {
		c.fatalf("%s: %v", hintAtReset, o.err)
	}
	c.report.add(left(c.changed()), "after the transaction was rolled back")
	c.start = c.last // not begun again, see above
	// On a session of another name, so that what an audit has of it differs.
	second := c.clean(c.second, hintAtReset)
	if c.founded = founds(first.delta, second.delta); c.founded {
		c.begin()
		begun = time.Now()
		first, second = second, c.clean(c.wire, hintAtReset)
	}
	c.learn(first, second)
	c.samples = []sample{first, second}
	if c.expect.mayHoldTimes() || c.model.mayHoldTimes() {
		c.passSecond(begun)
	}
}

// unlocked fails the test when the handler leaves a lock on its session, for which
// the next run would wait for ever.
func (c *trial[T]) unlocked() {
	c.tb.Helper()
	const held = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`
	for _, conn := range c.wire.pool.AcquireAllIdle(c.ctx) {
		var n int
		err := conn.QueryRow(c.ctx, held).Scan(&n)
		conn.Release()
		if err == nil && n > 0 {
			c.fatalf("the handler leaves %s on its session, which no end of the transaction takes away: "+
				"it is to take pg_advisory_xact_lock", plural(n, "advisory lock"))
		}
	}
}

// passSecond waits until clocks show another second than they did then.
func (c *trial[T]) passSecond(then time.Time) {
	timer := time.NewTimer(time.Until(then.Add(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

const hintAtReset = "the handler fails when it runs again with another key. If it cannot run twice in the state that it leaves, " +
	"restore that with idemtxtest.Reset"

const hintAtState = "\n\tThe handler remembers its runs, or does something else in the state that it leaves, " +
	"which idemtxtest.Reset can restore; or something else writes to these tables, which idemtxtest.Only can leave out."

// clean makes a clean run.
func (c *trial[T]) clean(w *wire, name string) sample {
	c.tb.Helper()
	return c.through(w, name, nil)
}

// through makes a run in which nothing breaks, and meet is called at each stop.
func (c *trial[T]) through(w *wire, name string, meet func(stop)) sample {
	c.tb.Helper()
	key := c.key()
	script := w.arm(c.config.TxOptions, func(at stop) pgwire.Fate {
		if meet != nil {
			meet(at)
		}
		return pgwire.Deliver
	})
	o := c.call(c.ctx, c.open(w.pool, 1), key, c.fn)
	w.arm(c.config.TxOptions, nil)
	if o.err != nil {
		c.fatalf("%s: %v", name, o.err)
	}
	return sample{script.run(), c.changed(), c.stored(key)}
}

// learn fails the test when clean runs do not do the same.
func (c *trial[T]) learn(samples ...sample) {
	c.tb.Helper()
	var deltas []delta
	var answers []answer
	for _, s := range samples {
		if n, m := len(s.stops), len(samples[0].stops); n != m {
			c.fatalf("a clean run takes %s to the server and another %d, so that there is no telling where to cut%s",
				plural(m, "trip"), n, hintAtState)
		}
		deltas = append(deltas, s.delta)
		answers = append(answers, s.answer)
	}
	expect, differences := learn(deltas...)
	if differences != nil {
		c.fatalf("clean runs differ:\n\t%s%s", strings.Join(differences, "\n\t"), hintAtState)
	}
	c.stops, c.expect, c.model = samples[0].stops, expect, learnAnswer(answers...)
}

// watch looks at each stop of a clean run. What is there before COMMIT is what a
// crash would leave there.
func (c *trial[T]) watch() {
	c.tb.Helper()
	c.begin()
	var failure error
	seen := make(map[string]bool)
	s := c.through(c.wire, hintAtReset, func(at stop) {
		now, err := c.eye.look(c.ctx, shortLook)
		if err != nil {
			if !errors.Is(err, errLocked) { // by the handler, which waits here
				failure = err
			}
			return
		}
		for _, line := range left(between(c.start, now)) {
			if !seen[line] {
				seen[line] = true
				c.report.add([]string{line}, "when a crash comes before "+at.place)
			}
		}
	})
	if failure != nil {
		c.fatalf("look at the effects: %v", failure)
	}
	c.learn(append(c.samples, s)...)
	if len(c.expect.parts()) == 0 && !c.model.refused {
		c.fatalf("a clean run leaves no effect that can be seen, so that nothing is tried: " +
			"see idemtxtest.Only, idemtxtest.Ignore and idemtxtest.Effects")
	}
}

// stored is the reply that is kept under a key.
func (c *trial[T]) stored(key string) answer {
	c.tb.Helper()
	e, err := c.store.Get(c.ctx, c.request.Scope, key)
	if err != nil {
		c.fatalf("look up the reply: %v", err)
	}
	tree, err := parse(e.Response)
	if err != nil {
		c.fatalf("the stored reply is not JSON")
	}
	return answer{tree, e.Body, e.Refused}
}
