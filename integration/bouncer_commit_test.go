//go:build unix

package integration

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// losing lets the COMMIT of the first reply meet its fate between the client and
// PgBouncer.
func losing(fate pgwire.Fate) (via option, met *atomic.Bool) {
	met = new(atomic.Bool)
	return withFate(func(trip *pgwire.Trip) pgwire.Fate {
		if trip.Commits() && trip.Has("stored AS") && met.CompareAndSwap(false, true) {
			return fate
		}
		return pgwire.Deliver
	}), met
}

// Whoever finds out what became of a COMMIT asks on another connection, which is
// another backend's. The key's lock and row tell the same there.
func TestBouncerAndACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, exec := range b.execModes() {
		for name, fate := range map[string]pgwire.Fate{
			"never arrives": pgwire.Drop, "is not answered": pgwire.Swallow, "is abandoned": pgwire.Abandon,
		} {
			t.Run(exec.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				via, met := losing(fate)
				f := newFixture(t, b.to(b.database(t), exec), via)
				fn, runs := counting(f, "k")
				reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
				require.NoError(t, err)
				require.True(t, met.Load())
				require.False(t, reply.Replayed)
				switch fate {
				case pgwire.Drop:
					require.EqualValues(t, 2, runs.Load())
				case pgwire.Swallow:
					require.EqualValues(t, 1, runs.Load())
				}
				requireOnce(f, "k", reply)
			})
		}
	}
}

// PgBouncer is killed while PostgreSQL is at the COMMIT, and started again.
//
//	Do:   ... COMMIT ──▶ the backend is at it
//	      ✂ PgBouncer
//	Do:   lock ... waits for that backend
//	      done, or dead
//	Do:   look: the row is there, or is not.
func TestBouncerIsKilledInACommit(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"which lands": false, "which fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBouncer(t)
			f := newFixture(t, b.to(b.database(t), pgx.QueryExecModeExec))
			open := gated(f)
			fn, runs := counting(f, "k")
			call := launch(t.Context(), modes[0], f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				return fn(ctx, db.(pgx.Tx))
			})
			f.blocked(1)
			require.NoError(t, b.tell("start"))
			f.blocked(2)
			if dies {
				endAtTheGate(f)
			}
			open()
			call.ends(t)
			require.NoError(t, call.err)
			require.False(t, call.reply.Replayed)
			if dies {
				require.EqualValues(t, 2, runs.Load())
			} else {
				require.EqualValues(t, 1, runs.Load())
			}
			requireOnce(f, "k", call.reply)
		})
	}
}

// PgBouncer is killed before the COMMIT comes to it. PostgreSQL undoes what has
// lost its client.
func TestBouncerIsKilledBeforeACommit(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	database := b.database(t)
	var met atomic.Bool
	f := newFixture(t, b.to(database, pgx.QueryExecModeExec), withFate(func(trip *pgwire.Trip) pgwire.Fate {
		if trip.Commits() && trip.Has("WITH stored AS") && met.CompareAndSwap(false, true) {
			if err := b.tell("start"); err != nil {
				t.Error(err)
			}
		}
		return pgwire.Deliver
	}))
	fn, runs := counting(f, "k")
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	require.EqualValues(t, 2, runs.Load())
	requireOnce(f, "k", reply)
}
