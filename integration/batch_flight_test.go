package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// batchRace sends one request n times at once, through the fixtures by turns, all
// with one batch. All must get the same reply, one of them as the first.
func batchRace(t *testing.T, n int, through ...*fixture) {
	t.Helper()
	work := through[0].ordering("k", "SELECT 1")
	values := make([]order, n)
	var firsts atomic.Int64
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() {
			f := through[i%len(through)]
			reply, err := f.batch(t.Context(), f.request("k"), work)
			if err != nil {
				t.Error(err)
			}
			if !reply.Replayed {
				firsts.Add(1)
			}
			values[i] = reply.Value
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, firsts.Load())
	for _, value := range values {
		require.Equal(t, values[0], value)
	}
	require.Equal(t, 1, through[0].effects("k"))
	require.Equal(t, 1, through[0].rows("k"))
	for _, f := range through {
		f.idle()
	}
}

func batchRunsOnceUnderRace(t *testing.T, via option) {
	f := newFixture(t, via)
	batchRace(t, 30, f, f.peer(via), f.peer(via))
	require.Equal(t, 1, f.runs())
}

// batchInFlight starts a request whose work waits at the gate, and returns when it
// does. end opens the gate, and returns when the request has ended.
func batchInFlight(t *testing.T, f *fixture, key string, work *pgx.Batch) (call *ongoing, end func()) {
	t.Helper()
	open := gated(f)
	call = launchBatch(t.Context(), f, f.request(key), work)
	f.blocked(1)
	var once sync.Once
	end = func() {
		once.Do(func() {
			open()
			<-call.done
		})
	}
	t.Cleanup(end)
	return call, end
}

// In the same process, where it waits in memory, and in another, where it waits in
// PostgreSQL.
func batchWaiterOwnsWhatFailed(t *testing.T, via option) {
	for _, same := range []bool{true, false} {
		f := newFixture(t, via)
		waits := make(watched, 1)
		second := f
		if !same {
			second = f.peer(via, withConfig(func(c *idemtx.Config) { c.Tracer = waits }))
		}
		decline := declining(f)
		first, end := batchInFlight(t, f, "k", f.ordering("failed", f.making("k"), f.gate(), decline("ID001")))
		waiter := launchBatch(t.Context(), second, second.request("k"), second.ordering("k"))
		if !same {
			<-waits
			f.blocked(2)
		}
		require.Equal(t, 1, f.runs(), "two works ran at once")
		end()
		requireOfTheWork(t, first.err, "ID001", "declined")
		waiter.ends(t)
		require.NoError(t, waiter.err)
		require.False(t, waiter.reply.Replayed)
		require.Equal(t, 2, f.runs())
		requireOnce(f, "k", waiter.reply)
	}
}

// watched is told when a call begins.
type watched chan struct{}

func (w watched) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	w <- struct{}{}
	return ctx
}

func (watched) TraceEnd(context.Context, idemtx.TraceEndData) {}

func batchWaitsNoLongerThanMaxWait(t *testing.T, via option) {
	brief := withMaxWait(20 * time.Millisecond)
	f := newFixture(t, via, brief)
	_, end := batchInFlight(t, f, "k", f.ordering("k", f.gate()))
	for _, second := range []*fixture{f, f.peer(via, brief)} {
		_, err := second.batch(t.Context(), second.request("k"), second.ordering("k"))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
		var inFlight *idemtx.InFlightError
		require.ErrorAs(t, err, &inFlight)
		require.Positive(t, inFlight.RetryAfter)
	}
	end()
	f.idle()
	require.Equal(t, 1, f.effects("k"))
	require.Equal(t, 1, f.runs())
}

// In the process in which the work goes on nobody hears of its beginning, and the
// request is refused after a while, whatever it is for. In another process it is
// known at once, and whether it differs.
func batchRefusesWhileInFlight(t *testing.T, via option) {
	f := newFixture(t, via, withConfig(refusing))
	first, end := batchInFlight(t, f, "k", f.ordering("k", f.gate()))
	for _, r := range []idemtx.Request{f.request("k"), f.other("k")} {
		_, err := f.batch(t.Context(), r, f.ordering("k"))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
		_, err = modes[0].do(t.Context(), f, r, mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
	}
	peer := f.peer(via, withConfig(refusing))
	_, err := peer.batch(t.Context(), peer.request("k"), peer.ordering("k"))
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	_, err = peer.batch(t.Context(), peer.other("k"), peer.ordering("k"))
	require.ErrorIs(t, err, idemtx.ErrMismatch)
	for _, m := range modes {
		_, err := m.do(t.Context(), peer, peer.request("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight, m.name)
		_, err = m.do(t.Context(), peer, peer.other("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrMismatch, m.name)
	}
	end()
	require.NoError(t, first.err)
	peer.idle()
	reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.Equal(t, 1, f.runs())
	requireOnce(f, "k", reply)
}

// The key is held in one of the other modes, by a transaction or by a claim.
func batchWaitsForAClaim(t *testing.T, via option) {
	for _, m := range modes {
		f := newFixture(t, via)
		told := new(complaints)
		peer := f.peer(via, withTracer(watcher(told.note)))
		end := inFlight(t, m, f, "k")
		refuse := peer.request("k")
		refuse.OnDuplicate = idemtx.Refuse
		_, err := peer.batch(t.Context(), refuse, peer.ordering("k"))
		require.ErrorIs(t, err, idemtx.ErrInFlight, m.name)
		refuse.Payload = "another"
		_, err = peer.batch(t.Context(), refuse, peer.ordering("k"))
		require.ErrorIs(t, err, idemtx.ErrMismatch, m.name)
		before := len(told.all())
		waiter := launchBatch(t.Context(), peer, peer.request("k"), peer.ordering("k"))
		require.Eventually(t, func() bool { return len(told.all()) > before }, patience, tick) // it has been stopped
		if m.atomic {
			f.blocked(1)
		}
		end(nil)
		waiter.ends(t)
		require.NoError(t, waiter.err, m.name)
		require.True(t, waiter.reply.Replayed, m.name)
		require.Equal(t, 1, f.runs(), m.name)
		requireOnce(f, "k", waiter.reply)
	}
}

// The pipeline of a waiter is not enough: it holds one connection all the same.
func batchOneConnectionIsEnough(t *testing.T, via option) {
	f := newFixture(t, via, withMaxConns(1))
	decline := declining(f)
	for _, code := range []string{"ID001", "22012"} { // what is asked again, too
		_, err := f.batch(t.Context(), f.request("k"), f.ordering("k", decline(code)))
		requireOfTheWork(t, err, code, "declined")
	}
	f.requireForgotten("k")
	f.expire("k")
	reply, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	_, err = f.batch(t.Context(), f.other("k"), f.ordering("k"))
	require.ErrorIs(t, err, idemtx.ErrMismatch)
	batchRace(t, 5, newFixture(t, via, withMaxConns(1)))
	f.idle()
}
