package integration

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// halves are the two ways to lose one direction of a connection.
var halves = map[string]fate{"is not heard any more": shut, "hears no more": mute}

// halfClosed closes one direction of the connection in the first trip of mode m
// that matches, and tells what became of the request.
func halfClosed(t *testing.T, m mode, match func(*trip) bool, half fate) (f *fixture, call *ongoing, runs int64) {
	t.Helper()
	wire := newProxy(t)
	f = newFixture(t, through(wire))
	judge, met := once(match, half)
	wire.meet(judge)
	var ran atomic.Int64
	call = launch(t.Context(), m, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		ran.Add(1)
		return f.effect(ctx, db, "k")
	})
	call.ends(t)
	require.True(t, met.Load())
	return f, call, ran.Load()
}

// In Do the answer to COMMIT is heard, or found out. Before that, the server undoes
// what it was told when it learns that its client is gone, and the handler runs
// again, if it has run.
func TestDoOnAConnectionThatIsHalfClosed(t *testing.T) {
	t.Parallel()
	for name, half := range halves {
		for place, test := range map[string]struct {
			match func(*trip) bool
			runs  map[fate]int64
		}{
			"question": {func(trip *trip) bool { return trip.has("pg_try_advisory_xact_lock") }, map[fate]int64{shut: 2, mute: 1}},
			"handler":  {func(trip *trip) bool { return trip.has(".effects") }, map[fate]int64{shut: 2, mute: 2}},
			"commit":   {(*trip).commits, map[fate]int64{shut: 1, mute: 1}},
		} {
			t.Run("in the "+place+" "+name, func(t *testing.T) {
				t.Parallel()
				f, call, runs := halfClosed(t, modes[0], test.match, half)
				require.NoError(t, call.err)
				require.False(t, call.reply.Replayed)
				require.Equal(t, test.runs[half], runs)
				requireOnce(f, "k", call.reply)
			})
		}
	}
}

// DoTx has no second connection to find out on. Its caller is told that something
// is wrong, unless the answer to COMMIT was heard, and a retry finds out.
func TestDoTxOnAConnectionThatIsHalfClosed(t *testing.T) {
	t.Parallel()
	for name, half := range halves {
		for place, match := range map[string]func(*trip) bool{
			"question": func(trip *trip) bool { return trip.has("pg_try_advisory_xact_lock") },
			"handler":  func(trip *trip) bool { return trip.has(".effects") },
			"reply":    func(trip *trip) bool { return trip.has("release savepoint") },
			"commit":   func(trip *trip) bool { return trip.has("commit") },
		} {
			t.Run("in the "+place+" "+name, func(t *testing.T) {
				t.Parallel()
				f, call, _ := halfClosed(t, modes[1], match, half)
				heard := place == "commit" && half == shut
				require.Equal(t, heard, call.err == nil, call.err)
				peer := f.peer()
				again, err := modes[1].do(t.Context(), peer, f.request("k"), effect(peer, "k"))
				require.NoError(t, err)
				require.Equal(t, place == "commit", again.Replayed)
				requireOnce(peer, "k", again)
			})
		}
	}
}

// A claim that was not heard of is given back, as is one whose handler meets the
// broken connection in the pool. A save is repeated.
func TestDoPoolOnAConnectionThatIsHalfClosed(t *testing.T) {
	t.Parallel()
	for name, half := range halves {
		for place, match := range map[string]func(*trip) bool{"claim": claims, "save": saves} {
			t.Run("in the "+place+" "+name, func(t *testing.T) {
				t.Parallel()
				f, call, runs := halfClosed(t, poolMode, match, half)
				if place == "claim" {
					require.Error(t, call.err)
					require.Equal(t, map[fate]int64{shut: 1, mute: 0}[half], runs)
					require.Zero(t, f.rows("k"))
					call = launch(t.Context(), poolMode, f, f.request("k"), effect(f, "k"))
					call.ends(t)
				}
				require.NoError(t, call.err)
				require.False(t, call.reply.Replayed)
				requireOnce(f, "k", call.reply)
			})
		}
	}
}
