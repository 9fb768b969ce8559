package failover

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
)

// workers is how many place orders in each mode.
const workers = 3

// load is a crowd that places order after order, each under a key of its own,
// and sends it again until it is acknowledged.
type load struct {
	*client
	crowd sync.WaitGroup

	mu           sync.Mutex
	goal         int // they end when so many are acknowledged
	acknowledged map[string]acknowledgement
	news         chan struct{} // closed and made anew at each acknowledgement
}

type acknowledgement struct {
	number int64
	place  mode
}

func (p *pair) load(ctx context.Context) *load {
	l := &load{
		client: p.anywhere(), goal: int(^uint(0) >> 1),
		acknowledged: make(map[string]acknowledgement), news: make(chan struct{}),
	}
	for name, place := range modes {
		for worker := range workers {
			l.crowd.Go(func() {
				for i := 0; !l.done(); i++ {
					key := fmt.Sprintf("%s-%d-%d", name, worker, i)
					reply, err := l.insist(ctx, place, key)
					if err != nil {
						p.t.Errorf("%s is not acknowledged: %v", key, err)
						return
					}
					l.note(key, acknowledgement{reply.Value.Number, place})
				}
			})
		}
	}
	return l
}

// insist sends an order until it is acknowledged.
func (c *client) insist(ctx context.Context, place mode, key string) (idemtx.Reply[order], error) {
	return backoff.Retry(ctx, func() (idemtx.Reply[order], error) { return place(c, ctx, key) },
		backoff.WithBackOff(backoff.NewConstantBackOff(50*time.Millisecond)))
}

func (l *load) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged) >= l.goal
}

func (l *load) note(key string, a acknowledgement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[key] = a
	close(l.news)
	l.news = make(chan struct{})
}

// more waits until n more orders are acknowledged.
func (l *load) more(ctx context.Context, n int) {
	l.t.Helper()
	l.mu.Lock()
	goal := len(l.acknowledged) + n
	for len(l.acknowledged) < goal {
		news := l.news
		l.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			l.t.Fatal("no orders are acknowledged any more")
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
}

// finish ends the load when n more orders are acknowledged.
func (l *load) finish(n int) {
	l.mu.Lock()
	l.goal = len(l.acknowledged) + n
	l.mu.Unlock()
	l.crowd.Wait()
}

// sendAgain places all acknowledged orders again, and counts those that have
// become others.
func (l *load) sendAgain(ctx context.Context) (lost int) {
	l.t.Helper()
	for key, before := range l.acknowledged {
		reply, err := l.insist(ctx, before.place, key)
		require.NoError(l.t, err)
		if reply.Value.Number != before.number {
			require.False(l.t, reply.Replayed, "%s has got another reply", key)
			lost++
		}
	}
	return lost
}

// requireNothingLost goes on with the standby, and ends the load.
func (l *load) requireNothingLost(ctx context.Context) {
	l.t.Helper()
	l.finish(50)
	requireAgreement(l.t, l.standby)
	require.Zero(l.t, l.sendAgain(ctx), "acknowledged orders are lost")
	requireAgreement(l.t, l.standby)
}

// requireAgreement checks on a node that no reply is without its order, and no
// order without its reply. Only a handler in pool mode may have run twice.
func requireAgreement(tb testing.TB, n *pgnode.Node) {
	tb.Helper()
	require.Positive(tb, query[int](tb, n, `SELECT count(*) FROM idemtx_replies`))
	require.Zero(tb, query[int](tb, n, `SELECT count(*) FROM idemtx_replies r WHERE response IS NOT NULL AND NOT EXISTS
		(SELECT FROM orders o WHERE o.key = r.key AND o.number = (r.response ->> 'number')::bigint)`), "replies without their order")
	require.Zero(tb, query[int](tb, n, `SELECT count(*) FROM orders o WHERE key NOT LIKE 'DoPool-%' AND NOT EXISTS
		(SELECT FROM idemtx_replies r WHERE o.key = r.key AND o.number = (r.response ->> 'number')::bigint)`), "orders without their reply")
	require.Zero(tb, query[int](tb, n, `SELECT count(*) - count(DISTINCT key) FROM orders WHERE key NOT LIKE 'DoPool-%'`), "orders were placed twice")
}
