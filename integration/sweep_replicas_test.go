package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// sweepers are what runs on every replica, beside requests.
type sweepers struct {
	*sync.WaitGroup
	stop   context.CancelFunc
	sweeps atomic.Int64
	swept  atomic.Int64
	log    journal
}

// sweepOn starts sweepers on n processes of their own, as they are run and as fast
// as they can be. None of their statements may wait for a lock, or fail.
func sweepOn(t *testing.T, f *fixture, n int) *sweepers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &sweepers{WaitGroup: new(sync.WaitGroup), stop: cancel}
	t.Cleanup(func() { cancel(); s.Wait() })
	impatient := withSetting("lock_timeout", "1ms")
	for range n {
		p := f.peer(withJournal(&s.log), impatient, neverFails(t, "40001", "40P01", "55P03"))
		s.Go(func() {
			if err := p.store.RunSweeper(ctx, time.Millisecond); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		s.Go(func() {
			for ctx.Err() == nil {
				n, err := p.store.DeleteExpired(ctx, 3)
				if err != nil && ctx.Err() == nil {
					t.Error("a sweeper has failed:", err)
				}
				s.swept.Add(n)
				s.sweeps.Add(1)
			}
		})
	}
	return s
}

// pass waits until a key has been passed by some sweeps.
func (s *sweepers) pass(t *testing.T) {
	t.Helper()
	enough := s.sweeps.Load() + 10
	if !assertEventually(t, func() bool { return s.sweeps.Load() >= enough }) {
		t.Error("the sweepers have stopped")
	}
}

// assertEventually may be called from another goroutine than the test's.
func assertEventually(t *testing.T, done func() bool) bool {
	t.Helper()
	for began := time.Now(); !done(); {
		if time.Since(began) > patience {
			return false
		}
		select {
		case <-t.Context().Done():
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// neverFails has no statement of a pool fail with one of these SQLSTATEs, also
// where the call tries again.
func neverFails(t *testing.T, codes ...string) option {
	t.Helper()
	return withTracer(watcher(func(err error) {
		for _, c := range codes {
			if code(err) == c {
				t.Error("a statement has failed:", err)
			}
		}
	}))
}

// While sweepers run on every replica, keys are answered, replayed, expire, and are
// answered anew, each by several processes at once. A reply that was given is
// replayed until it has expired, to whoever asks and refuses to wait; nobody is
// told at once of a request in flight that is none, no statement is ended by a deadlock or
// waits for a sweeper, and no sweeper waits for anything. A handler of pool mode
// that runs all the while keeps its key.
func TestSweepersBesideEverything(t *testing.T) {
	t.Parallel()
	calm := neverFails(t, "40001", "40P01", "55P03")
	f := newFixture(t, calm, longLease, withMaxWait(patience))
	exec(t, "ALTER TABLE "+f.table()+" SET (vacuum_truncate = false)") // a truncation locks the table for a moment
	replicas := []*fixture{f, f.peer(calm, withMaxWait(patience)), f.peer(calm, withMaxWait(patience))}
	long := hold(f, "long")
	exec(t, "UPDATE "+f.table()+" SET created_at = created_at - interval '1 year', expires_at = clock_timestamp()"+
		" WHERE key = 'long'")
	s := sweepOn(t, f, 3)

	var keys sync.WaitGroup
	for i := range 4 {
		keys.Go(func() { (&life{t, strconv.Itoa(i), replicas, s, nil}).live(8, i) })
	}
	keys.Wait()
	s.pass(t)
	s.stop()
	s.Wait()
	require.Empty(t, s.log.String())
	require.Positive(t, s.swept.Load())
	long.finish(nil)
	require.NoError(t, long.err)
	require.Equal(t, 1, f.rows("long"))
	f.idle()
}

// life is that of one key.
type life struct {
	t        *testing.T
	key      string
	replicas []*fixture
	sweepers *sweepers
	last     *order // its latest reply
}

// live lets the key be answered, replayed and expire so many times.
func (l *life) live(times, first int) {
	ways := []func() (order, error){
		func() (order, error) { return l.race(modes[0]) },
		l.inALongTransaction,
		func() (order, error) { return l.race(modes[2]) },
		l.put,
	}
	for i := range times {
		o, err := ways[(first+i)%len(ways)]()
		if err != nil || l.last != nil && o == *l.last {
			l.t.Error("the key was not answered anew:", o, err)
			return
		}
		l.last = &o
		for range 3 {
			l.replays(o)
			l.sweepers.pass(l.t)
		}
		l.replays(o)
		_, err = l.replicas[0].pool.Exec(l.t.Context(), "UPDATE "+l.replicas[0].table()+
			" SET created_at = created_at - interval '1 year', expires_at = clock_timestamp() WHERE key = $1", l.key)
		if err != nil {
			l.t.Error(err)
		}
	}
}

// race answers the key by all replicas at once.
func (l *life) race(m mode) (order, error) {
	var calls []*ongoing
	for _, f := range l.replicas {
		calls = append(calls, launch(l.t.Context(), m, f, f.request(l.key), effect(f, l.key)))
	}
	firsts := 0
	var errs []error
	for _, c := range calls {
		<-c.done
		errs = append(errs, c.err)
		if !c.reply.Replayed {
			firsts++
		}
		if c.reply.Value != calls[0].reply.Value {
			errs = append(errs, fmt.Errorf("%v and %v are answers to one request", c.reply.Value, calls[0].reply.Value))
		}
	}
	if firsts != 1 {
		errs = append(errs, fmt.Errorf("%d of %d calls were the first", firsts, len(calls)))
	}
	return calls[0].reply.Value, errors.Join(errs...)
}

// inALongTransaction answers the key, and keeps what was expired locked while it is
// swept beside.
func (l *life) inALongTransaction() (o order, err error) {
	f, ctx := l.replicas[1], l.t.Context()
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		reply, err := idemtx.DoTx(ctx, f.store, tx, f.request(l.key), f.handler(l.key))
		l.sweepers.pass(l.t)
		if reply.Replayed {
			err = errors.Join(err, errors.New("an expired reply was replayed"))
		}
		o = reply.Value
		return err
	})
	return o, err
}

func (l *life) put() (order, error) {
	f := l.replicas[2]
	r := f.request(l.key)
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	if err != nil {
		return order{}, err
	}
	o := order{Number: time.Now().UnixNano()}
	stored, err := f.store.Put(l.t.Context(), f.scope, l.key,
		idemtx.Entry{Fingerprint: fingerprint, Response: mustJSON(l.t, o)})
	if !stored {
		err = errors.Join(err, errors.New("an expired reply was in the way"))
	}
	return o, err
}

// replays requires that all who ask get the reply, at once.
func (l *life) replays(want order) {
	var asking sync.WaitGroup
	for i, f := range l.replicas {
		asking.Go(func() {
			r := f.request(l.key)
			r.OnDuplicate = idemtx.Refuse
			began := time.Now()
			reply, err := modes[i].do(l.t.Context(), f, r, mustNotRun(l.t))
			for again := 10; again > 0 && isImpatient(modes[i], err, time.Since(began)); again-- {
				began = time.Now()
				reply, err = modes[i].do(l.t.Context(), f, r, mustNotRun(l.t))
			}
			if err != nil || reply.Value != want {
				l.t.Error("a live reply was not replayed by", modes[i].name, reply.Value, want, err)
			}
			if _, err := f.store.Get(l.t.Context(), f.scope, l.key); err != nil {
				l.t.Error("a live reply was not found:", err)
			}
		})
	}
	asking.Wait()
}
