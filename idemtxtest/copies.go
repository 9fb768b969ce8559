package idemtxtest

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// runTwice runs two copies of one request at once, as from two processes. The
// second comes when the first one's handler is at work, and the first commits when
// the second waits for it:
//
//	first:   BEGIN, has the key ── handler ──────────────────────────────▶ COMMIT
//	second:                          BEGIN, hears that the key is taken ──▶ waits
func (c *trial[T]) runTwice() {
	c.tb.Helper()
	for _, end := range []struct {
		fate pgwire.Fate
		name string
	}{
		{pgwire.Deliver, "when two copies ran at once"},
		{pgwire.Drop, "when two copies ran at once, and the first one's COMMIT never arrived"},
		{pgwire.Swallow, "when two copies ran at once, and the answer to the first one's COMMIT was lost"},
	} {
		c.pair(end.fate, end.name)
	}
}

func (c *trial[T]) pair(fate pgwire.Fate, place string) {
	c.tb.Helper()
	c.begin()
	key := c.key()
	second := &copied[T]{trial: c, key: key, asked: make(chan struct{}), ended: make(chan struct{})}
	c.wire.arm(c.config.TxOptions, func(at stop) pgwire.Fate {
		if at.number > 0 { // the key is the first one's
			second.start()
		}
		if !at.ends {
			return pgwire.Deliver
		}
		select {
		case <-second.asked:
		case <-second.ended:
		}
		return fate
	})
	first := c.call(c.ctx, c.open(c.wire.pool, 1), key, c.fn)
	c.wire.arm(c.config.TxOptions, nil)
	second.start() // as when the first has not come that far
	<-second.ended
	c.second.arm(c.config.TxOptions, nil)
	c.stuck(cmp.Or(first.err, second.outcome.err), place)
	if err := second.outcome.err; err != nil {
		c.report.add([]string{fmt.Sprintf("of two copies at once, the second fails: %v", err)}, place)
	} else if first.err == nil && !same(first.reply, second.outcome.reply) {
		c.report.add([]string{"two copies at once get two replies"}, place)
	}
	c.settle(key, second.outcome, place)
}

// copied is the second copy of a request.
type copied[T any] struct {
	trial   *trial[T]
	key     string
	once    sync.Once
	asked   chan struct{} // closed when it has heard about the key
	ended   chan struct{}
	outcome outcome[T]
}

func (s *copied[T]) start() {
	s.once.Do(func() {
		c := s.trial
		c.second.arm(c.config.TxOptions, func(at stop) pgwire.Fate {
			if at.number == 0 {
				at.trip.Answered = func() { close(s.asked) }
			}
			return pgwire.Deliver
		})
		store := c.open(c.second.pool, c.config.MaxAttempts)
		s.outcome.err = errors.New("the handler has ended its goroutine, as t.FailNow does")
		go func() {
			defer close(s.ended)
			s.outcome = c.call(c.ctx, store, s.key, c.fn)
		}()
	})
}
