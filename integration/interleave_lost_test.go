package integration

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A connection that is lost before COMMIT has undone everything, so the handler
// runs again, whatever it says of the loss.
func TestConnectionLostInTheHandler(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"before the statement": drop, "after the statement": swallow} {
		for verdict, silent := range map[string]bool{"and told": false, "and not told": true} {
			t.Run(name+" "+verdict, func(t *testing.T) {
				t.Parallel()
				wire := newProxy(t)
				f := newFixture(t, through(wire))
				judge, met := once(func(t *trip) bool { return t.has(".effects") }, lost)
				wire.meet(judge)
				var runs atomic.Int64
				reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					runs.Add(1)
					o, err := f.effect(ctx, tx, "k")
					if silent {
						err = nil
					}
					return o, err
				})
				require.NoError(t, err)
				require.True(t, met.Load())
				require.False(t, reply.Replayed)
				require.EqualValues(t, 2, runs.Load())
				requireOnce(f, "k", reply)
			})
		}
	}
}

// A first question that is cut off has done nothing, and is put again.
func TestConnectionLostInTheQuestion(t *testing.T) {
	t.Parallel()
	for _, lost := range []fate{drop, swallow} {
		wire := newProxy(t)
		f := newFixture(t, through(wire), withMaxAttempts(1))
		fn, runs := counting(f, "k")
		judge, met := once(func(t *trip) bool { return t.has("pg_try_advisory_xact_lock") }, lost)
		wire.meet(judge)
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.NoError(t, err)
		require.True(t, met.Load())
		require.EqualValues(t, 1, runs.Load())
		requireOnce(f, "k", reply)
	}
}

// terminate ends a backend and returns when it is gone.
func terminate(t *testing.T, pid uint32) {
	t.Helper()
	require.True(t, ask[bool](t, "SELECT pg_terminate_backend($1, 60000)", int(pid)))
}

func TestBackendTerminatedInTheHandler(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3} {
		f := newFixture(t, withMaxAttempts(attempts))
		var runs atomic.Int64
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
			if o, err := f.effect(ctx, tx, "k"); err != nil || runs.Add(1) == 3 {
				return o, err
			}
			terminate(t, tx.Conn().PgConn().PID())
			return f.effect(ctx, tx, "k")
		})
		require.EqualValues(t, attempts, runs.Load())
		if attempts == 3 {
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			requireOnce(f, "k", reply)
			continue
		}
		require.Error(t, err)
		require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		require.Zero(t, f.effects("k"))
		require.Zero(t, f.rows("k"))
		f.idle()
	}
}

// In DoTx the transaction is the caller's, who alone can begin it again.
func TestBackendTerminatedInTheHandlerOfDoTx(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var runs atomic.Int64
	_, err := modes[1].do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		runs.Add(1)
		terminate(t, db.(pgx.Tx).Conn().PgConn().PID())
		return f.effect(ctx, db, "k")
	})
	require.Error(t, err)
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects("k"))
	f.idle()
	_, err = modes[1].do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.Equal(t, 1, f.effects("k"))
}

// A:  holds the key
// B:  waits ── its backend is terminated
// B:  waits on another connection
// A:  commits
// B:  replays.
func TestBackendTerminatedInTheWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	peer := f.peer(withMaxAttempts(2))
	end := inFlight(t, modes[0], f, "k")
	done := make(chan struct{})
	var reply idemtx.Reply[order]
	var err error
	go func() {
		defer close(done)
		reply, err = idemtx.Do(t.Context(), peer.store, peer.request("k"), func(context.Context, pgx.Tx) (order, error) {
			t.Error("the handler ran")
			return order{}, nil
		})
	}()
	f.blocked(1)
	terminate(t, waiter(f))
	f.blocked(1)
	end(nil)
	<-done
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.Equal(t, 1, f.effects("k"))
	f.idle()
	peer.idle()
}

// waiter is the one backend that waits for an advisory lock, or 0.
func waiter(f *fixture) uint32 {
	f.t.Helper()
	return uint32(ask[int](f.t, `SELECT coalesce(max(pid), 0) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND NOT l.granted AND a.application_name = $1`, f.schema))
}

// A handler's own error is not taken for a lost connection, and not repeated.
func TestErrorOfAnotherConnectionIsTheHandlers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	elsewhere := &pgconn.PgError{Severity: "FATAL", Code: "57P01", Message: "elsewhere"}
	var runs atomic.Int64
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs.Add(1)
		o, err := f.effect(ctx, tx, "k")
		return o, errors.Join(elsewhere, err)
	})
	require.ErrorIs(t, err, elsewhere)
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects("k"))
	f.idle()
}
