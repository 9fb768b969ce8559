package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// gatedWithoutLocks is gated, with a gate that is shut in spite of lockless.
func gatedWithoutLocks(f *fixture) (open func()) {
	f.t.Helper()
	open = gated(f)
	exec(f.t, "ALTER FUNCTION "+f.schema+".gate() SET search_path = pg_catalog")
	return open
}

// lockless is where advisory locks do not exist: whoever asks for one gets it.
func lockless(f *fixture) option {
	f.t.Helper()
	stubs := newSchema(f.t)
	exec(f.t, `
		CREATE FUNCTION `+stubs+`.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION `+stubs+`.pg_try_advisory_xact_lock_shared(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION `+stubs+`.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS '';
		CREATE FUNCTION `+stubs+`.pg_advisory_xact_lock_shared(bigint) RETURNS void LANGUAGE sql AS ''`)
	return withSetting("search_path", stubs+", pg_catalog")
}

// A:  the whole of a request ── its COMMIT waits at the gate
// B:  the whole of a request ── its reply waits for A's transaction
// A:  committed, or dead
// B:  ✗, its work is undone, replays A's; or commits.
func TestBatchesWithoutALock(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		for name, dies := range map[string]bool{"A commits": false, "A dies": true} {
			t.Run(string(level)+" "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				open := gatedWithoutLocks(f)
				none := lockless(f)
				a, b := f.peer(none, withIsolation(level), withMaxAttempts(1)), f.peer(none, withIsolation(level))
				first := launchBatch(t.Context(), a, a.request("k"), a.ordering("k"))
				f.blocked(1)
				second := launchBatch(t.Context(), b, b.request("k"), b.ordering("k"))
				f.waitsForRow()
				require.Equal(t, 2, f.runs())
				if dies {
					terminate(t, waiter(f))
					f.blocked(1) // B is at the gate
				}
				open()
				first.ends(t)
				second.ends(t)
				require.NoError(t, second.err)
				if dies {
					require.False(t, second.reply.Replayed)
				} else {
					require.NoError(t, first.err)
					require.False(t, first.reply.Replayed)
					require.True(t, second.reply.Replayed)
					require.Equal(t, first.reply.Value, second.reply.Value)
				}
				requireOnce(f, "k", second.reply)
			})
		}
	}
}

// The one that is faster is another request, of a process that has locks of its own.
func TestBatchOvertakenByAnotherRequest(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		f := newFixture(t)
		open := gated(f)
		a, b := f.peer(lockless(f)), f.peer()
		call := launchBatch(t.Context(), a, a.request("k"), a.ordering("k", a.gate()))
		f.blocked(1)
		other := b.other("k")
		_, err := m.do(t.Context(), b, other, func(context.Context, execer) (order, error) { return order{Number: 4}, nil })
		require.NoError(t, err, m.name)
		open()
		call.ends(t)
		require.ErrorIs(t, call.err, idemtx.ErrMismatch, m.name)
		require.Zero(t, f.effects("k"), m.name)
		require.Equal(t, 1, f.rows("k"), m.name)
		f.idle()
		a.idle()
	}
}

func TestBatchRaceWithoutALock(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(mode))
			none := lockless(f)
			batchRace(t, 20, f.peer(none), f.peer(none), f.peer(none), f.peer(none))
		})
	}
}
