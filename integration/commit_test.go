package integration

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// counting is the fixture's handler, which counts how often it runs.
func counting(f *fixture, key string) (fn func(context.Context, pgx.Tx) (order, error), runs *atomic.Int64) {
	runs = new(atomic.Int64)
	return func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs.Add(1)
		return f.effect(ctx, tx, key)
	}, runs
}

func withMaxAttempts(n int) option {
	return withConfig(func(c *idemtx.Config) { c.MaxAttempts = n })
}

// requireOnce requires that a key is answered with reply, now and for good, and
// that its work is done once.
func requireOnce(f *fixture, key string, reply idemtx.Reply[order]) {
	f.t.Helper()
	again, err := idemtx.Do(f.t.Context(), f.store, f.request(key), func(context.Context, pgx.Tx) (order, error) {
		f.t.Error("the handler ran")
		return order{}, nil
	})
	require.NoError(f.t, err)
	require.True(f.t, again.Replayed)
	require.Equal(f.t, reply.Value, again.Value)
	require.True(f.t, reply.CreatedAt.Equal(again.CreatedAt) && reply.ExpiresAt.Equal(again.ExpiresAt))
	require.Equal(f.t, 1, f.effects(key))
	require.Equal(f.t, 1, f.rows(key))
	f.idle()
}

// Do:      ... INSERT the reply, COMMIT ──▶ committed
//
//	◀── ✂ the answer is lost
//
// Do:      lock, look: the row is there.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3} {
		wire := newProxy(t)
		f := newFixture(t, through(wire), withMaxAttempts(attempts))
		judge, met := once((*trip).commits, swallow)
		wire.meet(judge)
		fn, runs := counting(f, "k")
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.NoError(t, err)
		require.True(t, met.Load())
		require.False(t, reply.Replayed)
		require.EqualValues(t, 1, runs.Load())
		requireOnce(f, "k", reply)
	}
}

// The same for a reply without a work: a refusal has a transaction of its own.
func TestCommitOfARefusalWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	judge, met := once((*trip).commits, swallow)
	wire.meet(judge)
	var runs atomic.Int64
	refuse := func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs.Add(1)
		o, err := f.effect(ctx, tx, "k")
		return o, errors.Join(err, idemtx.ErrRefused)
	}
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), refuse)
	require.NoError(t, err)
	require.True(t, met.Load())
	require.True(t, reply.Refused)
	require.False(t, reply.Replayed)
	again, err := idemtx.Do(t.Context(), f.store, f.request("k"), refuse)
	require.NoError(t, err)
	require.True(t, again.Replayed && again.Refused)
	require.Equal(t, reply.Value, again.Value)
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects("k"))
	f.idle()
}

// Do:      ... INSERT the reply, COMMIT ──✂ never arrives
// Do:      lock, look: no row, so it runs again.
func TestCommitThatNeverArrives(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	judge, met := once((*trip).commits, drop)
	wire.meet(judge)
	fn, runs := counting(f, "k")
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	require.NoError(t, err)
	require.True(t, met.Load())
	require.False(t, reply.Replayed)
	require.EqualValues(t, 2, runs.Load())
	requireOnce(f, "k", reply)
}

// With no attempt left it is a failure like any other, and known to be one.
func TestCommitThatNeverArrivesOnTheLastAttempt(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 2} {
		wire := newProxy(t)
		f := newFixture(t, through(wire), withMaxAttempts(attempts))
		wire.meet(func(t *trip) fate {
			if t.commits() && t.has("INSERT") {
				return drop
			}
			return deliver
		})
		fn, runs := counting(f, "k")
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.Error(t, err)
		require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		require.Zero(t, reply)
		require.EqualValues(t, attempts, runs.Load())
		require.Zero(t, f.effects("k"))
		require.Zero(t, f.rows("k"))
		f.idle()

		wire.meet(nil)
		reply, err = idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.NoError(t, err)
		requireOnce(f, "k", reply)
	}
}

// What cannot be found out before the context ends is said to be unknown, and
// the same request finds out.
func TestCommitWithTheServerOutOfReach(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"committed": swallow, "not committed": drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			ctx, cancel := context.WithCancel(t.Context())
			wire.meet(func(t *trip) fate {
				if !t.commits() {
					return deliver
				}
				wire.refuse(true)
				cancel()
				return lost
			})
			fn, runs := counting(f, "k")
			reply, err := idemtx.Do(ctx, f.store, f.request("k"), fn)
			require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
			require.Zero(t, reply)

			wire.refuse(false)
			wire.meet(nil)
			again, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
			require.NoError(t, err)
			require.Equal(t, lost == swallow, again.Replayed)
			if lost == swallow {
				require.EqualValues(t, 1, runs.Load())
			} else {
				require.EqualValues(t, 2, runs.Load())
			}
			requireOnce(f, "k", again)
		})
	}
}

// gated makes COMMIT of an effect wait for the gate, which open opens.
func gated(f *fixture) (open func()) {
	f.t.Helper()
	exec(f.t, `CREATE FUNCTION `+f.schema+`.gate() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_SCHEMA)); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON `+f.schema+`.effects
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.gate()`)
	return shutGate(f)
}

// shutGate shuts the fixture's gate, which open opens.
func shutGate(f *fixture) (open func()) {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	keeper, err := pgx.Connect(ctx, serverURL())
	require.NoError(f.t, err)
	f.t.Cleanup(func() { keeper.Close(ctx) })
	_, err = keeper.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", f.schema)
	require.NoError(f.t, err)
	return func() {
		_, err := keeper.Exec(ctx, "SELECT pg_advisory_unlock(hashtext($1))", f.schema)
		require.NoError(f.t, err)
	}
}

// endAtTheGate terminates the backend whose COMMIT is there.
func endAtTheGate(f *fixture) {
	f.t.Helper()
	require.Equal(f.t, 1, ask[int](f.t, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND NOT l.granted AND a.application_name = $1 AND a.query = 'commit'`, f.schema))
}

// Do:      ... COMMIT ──▶ the old backend is at it
//
//	✂
//
// Do:      lock ... waits for the old backend
// old:     done, or dead
// Do:      look: the row is there, or is not.
func TestCommitThatTakesLongerThanItsConnection(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"and lands": false, "and fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire))
			open := gated(f)
			judge, _ := once((*trip).commits, abandon)
			wire.meet(judge)
			fn, runs := counting(f, "k")
			done := make(chan struct{})
			var reply idemtx.Reply[order]
			var err error
			go func() {
				defer close(done)
				reply, err = idemtx.Do(t.Context(), f.store, f.request("k"), fn)
			}()
			f.blocked(2) // the old backend at the gate, the question at the key
			require.EqualValues(t, 1, runs.Load())
			if dies {
				endAtTheGate(f)
			}
			open()
			<-done
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			if dies {
				require.EqualValues(t, 2, runs.Load())
			} else {
				require.EqualValues(t, 1, runs.Load())
			}
			requireOnce(f, "k", reply)
		})
	}
}

// Another process is faster than the question: it has the lock when the old
// transaction ends, and its reply stands.
//
//	A:       ... COMMIT ──✂ never arrives
//	B:       waits for A's lock, owns the key, runs
//	A:       waits for B's lock
//	B:       commits
//	A:       finds B's reply, which is not its own, and replays it
func TestCommitThatNeverArrivesAndAnotherIsFaster(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), withMaxAttempts(1))
	peer := f.peer()
	endOfB := make(chan func(error), 1)
	var met atomic.Bool // the question ends with a COMMIT, too
	wire.meet(func(trip *trip) fate {
		if !trip.commits() || met.Swap(true) {
			return deliver
		}
		// A's connection is gone before its question comes.
		wire.refuse(true)
		wire.cut()
		endOfB <- inFlight(t, modes[0], peer, "k")
		wire.refuse(false)
		return drop
	})
	done := make(chan struct{})
	var reply idemtx.Reply[order]
	var err error
	fn, runs := counting(f, "k")
	go func() {
		defer close(done)
		reply, err = idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	}()
	end := <-endOfB
	f.blocked(1)
	wire.meet(nil)
	end(nil)
	<-done
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	require.EqualValues(t, 1, runs.Load())
	requireOnce(f, "k", reply)
}
