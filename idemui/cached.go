package idemui

import (
	"context"
	"sync"
	"time"
)

// rests is how many times as long as it took an answer is kept. See Config.CountEvery.
const rests = 20

// cached is the answer to a question that costs the database much. It is asked again
// by who finds it too old; who comes meanwhile waits for that answer. The zero value
// is ready to use.
type cached[T any] struct {
	mu   sync.Mutex
	last answer[T]
}

// answer may be an error: what has failed is not tried again at once either.
type answer[T any] struct {
	Value T
	Err   error
	At    time.Time
	Took  time.Duration
}

// get asks with a context that outlives the reader's: the answer is for the others, too.
func (c *cached[T]) get(ctx context.Context, config Config, ask func(context.Context) (T, error)) answer[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.At.IsZero() && time.Since(c.last.At) < max(config.CountEvery, rests*c.last.Took) {
		return c.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.Timeout)
	defer cancel()
	began := time.Now()
	value, err := ask(ctx)
	c.last = answer[T]{Value: value, Err: err, At: time.Now(), Took: time.Since(began)}
	return c.last
}
