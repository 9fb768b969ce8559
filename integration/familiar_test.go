package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// isLook tells whether a trip is one plain look at a key.
func isLook(t *trip) bool {
	return len(t.statements) == 1 && t.has("seconds_left")
}

// ofOneKind makes fixtures whose every statement is one trip from the first use on.
var ofOneKind = withExecMode(pgx.QueryExecModeExec)

// requireLook requires that trips are one plain look.
func requireLook(t *testing.T, trips []*trip) {
	t.Helper()
	require.Len(t, trips, 1)
	require.True(t, isLook(trips[0]), trips[0].statements)
	require.True(t, trips[0].idle && trips[0].ended)
	require.Zero(t, committed(trips))
}

// familiarKey is a fixture on a wire that has answered the key "k" with reply.
func familiarKey(t *testing.T, m mode) (f *fixture, wire *proxy, reply idemtx.Reply[order]) {
	t.Helper()
	wire = newProxy(t)
	f = newFixture(t, through(wire), ofOneKind)
	var err error
	first := wire.during(func() {
		reply, err = m.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		f.idle()
	})
	require.False(t, isLook(first[0])) // nobody looks at a strange key
	return f, wire, reply
}

// forRemembering runs a test for each mode that has familiar keys.
func forRemembering(t *testing.T, test func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

// Where the key was answered, and where it was replayed once, a replay is one look.
// It is the transaction that begins the request anywhere else.
func TestReplayOfAFamiliarKeyIsOneLook(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f, wire, reply := familiarKey(t, m)
		refuse := f.request("k")
		refuse.OnDuplicate = idemtx.Refuse
		for _, again := range remembering {
			for _, r := range []idemtx.Request{f.request("k"), refuse} {
				requireLook(t, wire.during(func() {
					requireReplay(t, again, f, r, reply)
					f.idle()
				}))
			}
		}
		require.Equal(t, 1, f.effects("k"))

		peer := f.peer(through(wire), ofOneKind)
		first := wire.during(func() {
			requireReplay(t, m, peer, f.request("k"), reply)
			peer.idle()
		})
		require.True(t, first[0].has("pg_try_advisory_xact_lock"), first[0].statements)
		require.True(t, first[0].has("seconds_left"), first[0].statements)
		for _, rest := range first[1:] {
			require.Equal(t, []string{"rollback"}, rest.statements)
		}
		requireLook(t, wire.during(func() {
			requireReplay(t, m, peer, f.request("k"), reply)
			peer.idle()
		}))
	})
}

func TestMismatchUnderAFamiliarKeyIsOneLook(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f, wire, _ := familiarKey(t, m)
		for range 2 { // the key stays familiar
			requireLook(t, wire.during(func() {
				_, err := m.do(t.Context(), f, f.other("k"), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrMismatch)
				f.idle()
			}))
		}
	})
}

// A row that is gone makes the look vain, once.
func TestLookInVain(t *testing.T) {
	t.Parallel()
	for what, gone := range map[string]func(f *fixture){
		"expired": func(f *fixture) { f.expire("k") },
		"deleted": func(f *fixture) { exec(f.t, "DELETE FROM "+f.table()) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			forRemembering(t, func(t *testing.T, m mode) {
				f, wire, _ := familiarKey(t, m)
				gone(f)
				var reply idemtx.Reply[order]
				trips := wire.during(func() {
					var err error
					reply, err = m.do(t.Context(), f, f.request("k"), effect(f, "k"))
					require.NoError(t, err)
					f.idle()
				})
				require.False(t, reply.Replayed)
				require.True(t, isLook(trips[0]), trips[0].statements)
				require.False(t, isLook(trips[1]), trips[1].statements)
				if m.name == idemtx.ModeDo {
					require.Len(t, trips, 4) // the look, BEGIN, the work, COMMIT
				}
				require.Equal(t, 2, f.effects("k"))
				requireLook(t, wire.during(func() {
					requireReplay(t, m, f, f.request("k"), reply)
					f.idle()
				}))
			})
		})
	}
}

func TestLookInVainIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], modes[2]} {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f, wire, _ := familiarKey(t, m)
			f.expire("k")
			broken := errors.New("broken")
			for i := range 3 {
				trips := wire.during(func() {
					_, err := m.do(t.Context(), f, f.request("k"), func(context.Context, execer) (order, error) {
						return order{}, broken
					})
					require.ErrorIs(t, err, broken)
					f.idle()
				})
				require.Equal(t, i == 0, isLook(trips[0]), trips[0].statements)
			}
		})
	}
}

func TestExpiredFamiliarKeyIsRefused(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f := newFixture(t, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
		_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		f.expire("k")
		for range 2 {
			_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrExpired)
		}
		require.Equal(t, 1, f.effects("k"))
	})
}

// Another process has claimed the key since it was last answered here: it is in
// flight, however familiar it is.
func TestFamiliarKeyThatIsClaimed(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f, wire, _ := familiarKey(t, m)
		f.expire("k")
		peer := f.peer()
		begun, release := make(chan struct{}), make(chan struct{})
		holder := launch(t.Context(), modes[2], peer, peer.request("k"), func(ctx context.Context, db execer) (order, error) {
			close(begun)
			waitFor(ctx, release)
			return peer.effect(ctx, db, "k")
		})
		waitFor(t.Context(), begun)
		trips := wire.during(func() {
			refuse := f.request("k")
			refuse.OnDuplicate = idemtx.Refuse
			_, err := m.do(t.Context(), f, refuse, mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			f.idle()
		})
		require.True(t, isLook(trips[0]))
		_, err := m.do(t.Context(), f, f.other("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrMismatch)
		asked := make(chan struct{})
		wire.meet(func(trip *trip) fate {
			if trip.has("seconds_left") {
				select {
				case asked <- struct{}{}:
				case <-release:
				}
			}
			return deliver
		})
		waiter := launch(t.Context(), m, f, f.request("k"), mustNotRun(t))
		for range 3 { // it asks, is not answered, and asks again
			waitFor(t.Context(), asked)
		}
		close(release)
		holder.ends(t)
		waiter.ends(t)
		require.NoError(t, holder.err)
		require.NoError(t, waiter.err)
		require.True(t, waiter.reply.Replayed)
		require.Equal(t, holder.reply.Value, waiter.reply.Value)
		require.Equal(t, 2, f.effects("k"))
	})
}

// Whatever happens to the look, the request goes on as if there had been none.
func TestLookThatIsLost(t *testing.T) {
	t.Parallel()
	for what, lost := range map[string]fate{"dropped": drop, "swallowed": swallow} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			forRemembering(t, func(t *testing.T, m mode) {
				f, wire, reply := familiarKey(t, m)
				judge, met := once(isLook, lost)
				wire.meet(judge)
				requireReplay(t, m, f, f.request("k"), reply)
				require.True(t, met.Load())
				f.idle()
				requireLook(t, wire.during(func() { requireReplay(t, m, f, f.request("k"), reply) }))
				require.Equal(t, 1, f.effects("k"))
			})
		})
	}
}

// As after a restart of the server, which the pool has not noticed.
func TestLookOnAConnectionThatIsDead(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f, _, reply := familiarKey(t, m)
		require.EqualValues(t, 1, f.pool.Stat().TotalConns())
		require.Equal(t, 1, ask[int](t,
			"SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE application_name = $1", f.schema))
		requireReplay(t, m, f, f.request("k"), reply)
		require.EqualValues(t, 2, f.pool.Stat().NewConnsCount())
		require.Equal(t, 1, f.effects("k"))
	})
}

// With nobody to ask there is no answer, and nothing runs.
func TestLookWithTheServerOutOfReach(t *testing.T) {
	t.Parallel()
	forRemembering(t, func(t *testing.T, m mode) {
		f, wire, reply := familiarKey(t, m)
		wire.refuse(true)
		wire.cut()
		_, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
		require.ErrorContains(t, err, "connect")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = m.do(ctx, f, f.request("k"), mustNotRun(t))
		require.ErrorIs(t, err, context.Canceled)
		wire.refuse(false)
		requireReplay(t, m, f, f.request("k"), reply)
		require.Equal(t, 1, f.effects("k"))
	})
}
