package integration

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A refusal lets go of the key when the work is undone, and somebody may have
// waited for it. That one's answer stands, and is waited for.
//
//	A:  runs
//	B:  lock ✗, waits
//	A:  refuses, goes back ── B owns the key, runs
//	A:  lock ✗, waits
//	B:  commits
//	A:  finds B's reply
func TestRefusalGivesWayToAWaiter(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxWait(patience))
			b := f.peer(withMaxWait(patience))
			running, end := make(chan struct{}), make(chan struct{})
			var second *ongoing
			first := launch(t.Context(), m, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				o, err := f.effect(ctx, db, "k")
				second = launch(t.Context(), modes[0], b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
					close(running)
					waitFor(ctx, end)
					return b.effect(ctx, db, "k")
				})
				f.blocked(1)
				return o, errors.Join(err, idemtx.ErrRefused)
			})
			waitFor(t.Context(), running)
			f.blocked(1)
			close(end)
			first.ends(t)
			second.ends(t)
			require.NoError(t, first.err)
			require.NoError(t, second.err)
			require.False(t, second.reply.Replayed)
			require.True(t, first.reply.Replayed)
			require.False(t, first.reply.Refused)
			requireOnce(f, "k", second.reply)
		})
	}
}

// Whatever comes of a call, its connection is as good as before. A pool that has to
// replace it with each mismatch, or each failed handler, is one that is hammered.
func TestConnectionOutlivesTheCall(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxConns(2), withMaxAttempts(2))
			held, err := f.pool.Acquire(t.Context()) // and one that is looked at
			require.NoError(t, err)
			defer held.Release()
			pid := func() (pid uint32) {
				t.Helper()
				require.Eventually(t, func() bool { return f.pool.Stat().AcquiredConns() == 1 }, patience, tick)
				require.NoError(t, f.pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
				return pid
			}
			before := pid()
			for _, verdict := range []error{nil, failed, idemtx.ErrRefused} {
				key := "k"
				if verdict != nil {
					key = verdict.Error()
				}
				_, err := m.do(t.Context(), f, f.request(key), func(ctx context.Context, db execer) (order, error) {
					o, err := f.effect(ctx, db, key)
					return o, errors.Join(err, verdict)
				})
				if errors.Is(verdict, failed) {
					require.ErrorIs(t, err, failed)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, before, pid(), verdict)
			}
			_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.NoError(t, err)
			require.Equal(t, before, pid(), "a replay")
			_, err = m.do(t.Context(), f, f.other("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
			require.Equal(t, before, pid(), "a mismatch")
			refuses := f.request("claimed")
			refuses.OnDuplicate = idemtx.Refuse
			end := inFlight(t, modes[2], f.peer(), "claimed")
			_, err = m.do(t.Context(), f, refuses, mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			end(nil)
			require.Equal(t, before, pid(), "in flight")
			if !m.atomic {
				return
			}
			_, err = inTx(t, m, f, "undone", func(ctx context.Context, tx pgx.Tx) (order, error) {
				_, err := tx.Exec(ctx, "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
				return order{}, err
			})
			require.Equal(t, "40001", state(err))
			require.Equal(t, before, pid(), "undone")
		})
	}
}

// begins counts the calls of a store that have begun.
type begins struct{ atomic.Int64 }

func (b *begins) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	b.Add(1)
	return ctx
}

func (*begins) TraceEnd(context.Context, idemtx.TraceEndData) {}

// isImpatient tells that a call was not to wait, and has waited in line for half a
// second for another's rollback before it said that something is in flight. Where the
// machine is busy elsewhere, that may be.
func isImpatient(m mode, err error, took time.Duration) bool {
	return m.name != idemtx.ModeDoTx && errors.Is(err, idemtx.ErrInFlight) && took >= 500*time.Millisecond
}

// A call that has waited for a key and got its answer is still at its rollback.
// Nothing is in flight then: who comes now, and would not wait, gets the answer.
func TestReplayIsNotInFlight(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], modes[2]} {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			for again := 10; isRefusedAfterAll(t, m); again-- {
				require.NotZero(t, again)
			}
		})
	}
}

// isRefusedAfterAll tells that the rollback took longer than who comes meanwhile waits.
func isRefusedAfterAll(t *testing.T, m mode) bool {
	t.Helper()
	wire, begun := newProxy(t), new(begins)
	f := newFixture(t, through(wire), withConfig(func(c *idemtx.Config) { c.Tracer, c.MaxWait = begun, patience }))
	end := inFlight(t, modes[0], f.peer(), "k")
	first := launch(t.Context(), modes[0], f, f.request("k"), mustNotRun(t))
	f.blocked(1)
	goOn := make(chan struct{})
	wire.meet(func(trip *trip) fate {
		if trip.has("rollback") {
			waitFor(t.Context(), goOn)
		}
		return deliver
	})
	end(nil)
	first.ends(t)
	require.NoError(t, first.err)
	require.True(t, first.reply.Replayed)

	r := f.request("k")
	r.OnDuplicate = idemtx.Refuse
	began := time.Now()
	second := launch(t.Context(), m, f, r, mustNotRun(t))
	require.Eventually(t, func() bool { return begun.Load() == 2 }, patience, tick)
	close(goOn)
	second.ends(t)
	if isImpatient(m, second.err, time.Since(began)) {
		return true
	}
	require.NoError(t, second.err)
	require.Equal(t, first.reply.Value, second.reply.Value)
	return false
}
