package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// ongoing is a call that is under way.
type ongoing struct {
	reply idemtx.Reply[order]
	err   error
	done  chan struct{}
}

// ends waits until the call has ended.
func (o *ongoing) ends(tb testing.TB) {
	tb.Helper()
	select {
	case <-o.done:
	case <-time.After(2 * patience):
		tb.Fatal("the call does not end")
	}
}

// launch makes a call in another goroutine.
func launch(ctx context.Context, m mode, f *fixture, r idemtx.Request, fn work) *ongoing {
	p := &ongoing{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.reply, p.err = m.do(ctx, f, r, fn)
	}()
	return p
}

// waitFor waits until done is closed, or ctx ends, as it does when a test fails.
func waitFor(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// transaction begins one that is over when the test is.
func transaction(f *fixture) pgx.Tx {
	f.t.Helper()
	tx, err := f.pool.Begin(f.t.Context())
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(f.t.Context())) })
	return tx
}

// pairs calls test for each way in that waits in PostgreSQL, after each that
// makes it wait there.
func pairs(t *testing.T, test func(t *testing.T, holder, waiter mode)) {
	t.Helper()
	for _, holder := range modes[:2] {
		for _, waiter := range modes[:2] {
			t.Run(string(holder.name)+" "+string(waiter.name), func(t *testing.T) {
				t.Parallel()
				test(t, holder, waiter)
			})
		}
	}
}

// A:  lock, runs
// B:  lock ✗, waits
// A:  commits
// B:                  owns the lock, looks, finds the reply, all in one trip.
func TestWaiterReplaysWhatWasCommitted(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		f := newFixture(t)
		sent := new(sendings)
		b := f.peer(withTracer(sent))
		end := inFlight(t, holder, f, "k")
		second := launch(t.Context(), waiter, b, b.request("k"), mustNotRun(t))
		f.blocked(1)
		before := sent.Load()
		end(nil)
		second.ends(t)
		require.NoError(t, second.err)
		require.True(t, second.reply.Replayed)
		// What ends the transaction, and in DoTx the savepoint before that.
		require.LessOrEqual(t, sent.Load()-before, int64(2))
		require.Equal(t, 1, f.effects("k"))
		f.idle()
		b.idle()
	})
}

// A:  lock, runs
// B:  lock ✗, waits
// A:  rolls back
// B:                  owns the lock, looks, finds nothing, runs.
func TestWaiterOwnsWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		f := newFixture(t)
		b := f.peer()
		end := inFlight(t, holder, f, "k")
		second := launch(t.Context(), waiter, b, b.request("k"), effect(b, "k"))
		f.blocked(1)
		end(errors.New("failed"))
		second.ends(t)
		require.NoError(t, second.err)
		require.False(t, second.reply.Replayed)
		requireOnce(b, "k", second.reply)
	})
}

// A:  lock, runs
// B:  lock ✗, waits
// C:          lock ✗, waits
// A:  rolls back
// B:                  runs
// C:                  still waits
// B:                  commits
// C:                          replays.
func TestThreeProcesses(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		a := newFixture(t)
		b, c := a.peer(), a.peer()
		endA := inFlight(t, holder, a, "k")
		ran, endB := make(chan struct{}), make(chan struct{})
		second := launch(t.Context(), waiter, b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
			close(ran)
			waitFor(ctx, endB)
			return b.effect(ctx, db, "k")
		})
		a.blocked(1) // B is before C in PostgreSQL's queue
		third := launch(t.Context(), holder, c, c.request("k"), mustNotRun(t))
		a.blocked(2)
		endA(errors.New("failed"))
		<-ran
		a.blocked(1)
		close(endB)
		second.ends(t)
		third.ends(t)
		require.NoError(t, second.err)
		require.NoError(t, third.err)
		require.False(t, second.reply.Replayed)
		require.True(t, third.reply.Replayed)
		require.Equal(t, second.reply.Value, third.reply.Value)
		requireOnce(c, "k", second.reply)
	})
}

// A:  lock, runs
// B:  lock ✗, waits
// C, D:           in line behind B, in its process
// C, B:           their contexts end
// D:              its turn: lock ✗, waits
// A:  commits
// D:              replays.
func TestContextOfAWaiterEnds(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, by mode) {
		t.Helper()
		a := newFixture(t)
		b := a.peer()
		end := inFlight(t, holder, a, "k")
		held := a.locks()
		ctxB, cancelB := context.WithCancel(t.Context())
		ctxC, cancelC := context.WithCancel(t.Context())
		defer cancelB()
		defer cancelC()

		second := launch(ctxB, by, b, b.request("k"), mustNotRun(t))
		a.blocked(1)
		pid := waiter(a)
		third := launch(ctxC, modes[0], b, b.request("k"), mustNotRun(t))
		fourth := launch(t.Context(), modes[0], b, b.request("k"), mustNotRun(t))

		cancelC()
		third.ends(t)
		require.ErrorIs(t, third.err, context.Canceled)
		cancelB()
		second.ends(t)
		require.ErrorIs(t, second.err, context.Canceled)
		require.Zero(t, second.reply)
		// D is the only one that waits, and with the lock on its fingerprint the
		// only one that has come to hold anything. locks counts what is waited for.
		require.Eventually(t, func() bool { return a.locks() == held+2 && waiter(a) != pid }, patience, tick)
		a.blocked(1)
		end(nil)
		fourth.ends(t)
		require.NoError(t, fourth.err)
		require.True(t, fourth.reply.Replayed)
		requireOnce(b, "k", fourth.reply)
	})
}

// A waiter that gives up leaves no lock and no connection behind, while the
// other still runs.
func TestWaiterThatGivesUpLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		a := newFixture(t)
		b := a.peer()
		end := inFlight(t, modes[0], a, "k")
		held := a.locks()
		ctx, cancel := context.WithCancel(t.Context())
		second := launch(ctx, m, b, b.request("k"), mustNotRun(t))
		a.blocked(1)
		cancel()
		second.ends(t)
		require.ErrorIs(t, second.err, context.Canceled, m.name)
		a.blocked(0)
		require.Eventually(t, func() bool {
			return b.pool.Stat().AcquiredConns() == 0 && a.locks() == held && a.backends() == 1
		}, patience, tick)
		end(nil)
		third, err := m.do(t.Context(), b, b.request("k"), mustNotRun(t))
		require.NoError(t, err)
		require.True(t, third.Replayed)
	}
}

// The reply is there for others when, and not before, its transaction is
// committed.
func TestReplyIsNotVisibleBeforeTheCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.peer(withConfig(refusing))
	tx := transaction(f)
	first, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)

	_, err = f.store.Get(t.Context(), f.scope, "k")
	require.ErrorIs(t, err, idemtx.ErrNotFound)
	entry, err := f.store.GetTx(t.Context(), tx, f.scope, "k")
	require.NoError(t, err)
	require.JSONEq(t, string(mustJSON(t, first.Value)), string(entry.Response))
	_, err = modes[0].do(t.Context(), b, b.request("k"), mustNotRun(t))
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	require.Zero(t, f.rows("k"))

	require.NoError(t, tx.Commit(t.Context()))
	_, err = f.store.Get(t.Context(), f.scope, "k")
	require.NoError(t, err)
	requireOnce(b, "k", first)
}
