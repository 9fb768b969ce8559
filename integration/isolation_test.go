package integration

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// strict are the ways to transactions whose snapshot may be older than the lock.
var strict = map[string]option{
	"repeatable read by option": withTxOptions(pgx.TxOptions{IsoLevel: pgx.RepeatableRead}),
	"serializable by option":    withTxOptions(pgx.TxOptions{IsoLevel: pgx.Serializable}),
	"repeatable read by role":   withIsolation(pgx.RepeatableRead),
	"serializable by role":      withIsolation(pgx.Serializable),
}

func withTxOptions(options pgx.TxOptions) option {
	return withConfig(func(c *idemtx.Config) { c.TxOptions = options })
}

func strictly(t *testing.T, test func(t *testing.T, level option)) {
	t.Helper()
	for name, level := range strict {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, level)
		})
	}
}

// The handler has the isolation it was promised, and everything else is as
// under READ COMMITTED.
func TestStrictBasics(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		for _, m := range modes {
			f := newFixture(t, level)
			first, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				var isolation string
				if err := db.QueryRow(ctx, "SHOW transaction_isolation").Scan(&isolation); err != nil {
					return order{}, err
				}
				if m.name == idemtx.ModeDo {
					require.NotEqual(t, "read committed", isolation)
				}
				return f.effect(ctx, db, "k")
			})
			require.NoError(t, err)
			_, err = m.do(t.Context(), f, f.other("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
			declined := errors.New("declined")
			_, err = m.do(t.Context(), f, f.request("failed"), func(context.Context, execer) (order, error) {
				return order{}, declined
			})
			require.ErrorIs(t, err, declined)
			require.Zero(t, f.rows("failed"))
			for range 2 {
				refused, err := m.do(t.Context(), f, f.request("refused"), func(context.Context, execer) (order, error) {
					return order{}, idemtx.ErrRefused
				})
				require.NoError(t, err)
				require.True(t, refused.Refused)
			}
			f.expire("refused")
			_, err = m.do(t.Context(), f, f.request("refused"), effect(f, "refused"))
			require.NoError(t, err)
			requireOnce(f, "k", first)
		}
	})
}

// A handler whose snapshot was taken in front of the lock may work in vain: see
// TestStrictOutrun. DoPool's claim is another transaction's, and one handler runs.
func TestStrictRace(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		for _, m := range []mode{modes[0], modes[2]} {
			f := newFixture(t, level)
			runs := race(t, m, 20, f, f.peer(level), f.peer(level))
			if !m.atomic {
				require.EqualValues(t, 1, runs)
			}
			if strings.Contains(t.Name(), "repeatable_read") { // and not for any other reason
				require.LessOrEqual(t, runs, int64(3), "a process has one in vain at most")
			}
			require.Equal(t, 1, f.effects("k"))
			require.Equal(t, 1, f.rows("k"))
			f.idle()
		}
	})
}

// A:  lock, runs
// B:  BEGIN, snapshot, lock ✗, waits
// A:  commits
// B:  owns the lock, and a snapshot that does not show A's reply: begins anew
// B:  replays.
func TestStrictWaiterReplaysWithoutRunning(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		f := newFixture(t, level)
		b := f.peer(level)
		end := inFlight(t, modes[0], f, "k")
		second := launch(t.Context(), modes[0], b, b.request("k"), mustNotRun(t))
		f.blocked(1)
		end(nil)
		second.ends(t)
		require.NoError(t, second.err)
		require.True(t, second.reply.Replayed)
		require.Equal(t, 1, f.effects("k"))
		f.idle()
		b.idle()
	})
}

// Its handler sees what was committed while it waited.
func TestStrictWaiterRunsOnANewSnapshot(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		f := newFixture(t, level)
		b := f.peer(level)
		end := inFlight(t, modes[0], f, "k")
		var seen int
		second := launch(t.Context(), modes[0], b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
			err := db.QueryRow(ctx, "SELECT count(*) FROM "+f.schema+".effects WHERE key = 'meanwhile'").Scan(&seen)
			return order{}, err
		})
		f.blocked(1)
		exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('meanwhile')")
		end(errors.New("failed"))
		second.ends(t)
		require.NoError(t, second.err)
		require.False(t, second.reply.Replayed)
		require.Equal(t, 1, seen)
		b.idle()
	})
}

// In DoTx the snapshot is the caller's, who alone can take another: 40001, with
// everything undone. When the first has failed there is nothing that it does not
// show.
func TestStrictWaiterInDoTx(t *testing.T) {
	t.Parallel()
	for _, level := range isolations[1:] {
		for name, failure := range map[string]error{"committed": nil, "failed": errors.New("failed")} {
			t.Run(string(level)+" "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withIsolation(level))
				b := f.peer(withIsolation(level))
				end := inFlight(t, modes[0], f, "k")
				second := launch(t.Context(), modes[1], b, b.request("k"), effect(b, "k"))
				f.blocked(1)
				end(failure)
				second.ends(t)
				if failure == nil {
					require.Equal(t, "40001", state(second.err), second.err)
				} else {
					require.NoError(t, second.err)
					require.False(t, second.reply.Replayed)
				}
				require.Equal(t, 1, f.effects("k"))
				require.Equal(t, 1, f.rows("k"))
				f.idle()
				b.idle()
			})
		}
	}
}

// stale is a handler whose snapshot is outdated by others for as long as that
// many times.
func stale(f *fixture, times int64) (fn func(context.Context, pgx.Tx) (order, error), runs *atomic.Int64) {
	runs = new(atomic.Int64)
	return func(ctx context.Context, tx pgx.Tx) (order, error) {
		run := runs.Add(1)
		o, err := f.effect(ctx, tx, "k")
		if err != nil {
			return o, err
		}
		if run <= times {
			exec(f.t, "UPDATE "+f.schema+".effects SET key = key WHERE key = 'shared'")
		}
		_, err = tx.Exec(ctx, "UPDATE "+f.schema+".effects SET key = key WHERE key = 'shared'")
		return o, err
	}, runs
}

// A handler that met 40001 runs again, at most MaxAttempts times in all.
func TestSerializationFailureOfTheHandler(t *testing.T) {
	t.Parallel()
	strictly(t, func(t *testing.T, level option) {
		t.Helper()
		for _, attempts := range []int{1, 2, 4} {
			for _, failures := range []int{1, 100} {
				f := newFixture(t, level, withMaxAttempts(attempts))
				exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('shared')")
				fn, runs := stale(f, int64(failures))
				reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
				if failures >= attempts {
					require.Equal(t, "40001", state(err), err)
					require.EqualValues(t, attempts, runs.Load())
					require.Zero(t, f.effects("k"))
					require.Zero(t, f.rows("k"))
					f.idle()
					continue
				}
				require.NoError(t, err)
				require.EqualValues(t, failures+1, runs.Load())
				requireOnce(f, "k", reply)
			}
		}
	})
}

func TestSerializationFailureOfTheHandlerInDoTx(t *testing.T) {
	t.Parallel()
	for _, level := range isolations[1:] {
		f := newFixture(t, withIsolation(level))
		exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('shared')")
		tx := transaction(f)
		fn, runs := stale(f, 100)
		_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), fn)
		require.Equal(t, "40001", state(err), err)
		require.EqualValues(t, 1, runs.Load())
		require.NoError(t, tx.Rollback(t.Context()))
		require.Zero(t, f.effects("k"))
		require.Zero(t, f.rows("k"))
		f.idle()
	}
}

// Two handlers read what the other writes: one of them cannot be serialized, and
// runs again.
func TestSerializationFailureBetweenKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withTxOptions(pgx.TxOptions{IsoLevel: pgx.Serializable}), withMaxAttempts(100))
	var meet sync.WaitGroup
	meet.Add(2)
	var runs atomic.Int64
	var calls []*ongoing
	for _, key := range []string{"one", "two"} {
		var once sync.Once
		calls = append(calls, launch(t.Context(), modes[0], f, f.request(key), func(ctx context.Context, db execer) (order, error) {
			runs.Add(1)
			var o order
			if err := db.QueryRow(ctx, "SELECT count(*) FROM "+f.schema+".effects").Scan(&o.Number); err != nil {
				return o, err
			}
			once.Do(func() { meet.Done(); meet.Wait() })
			_, err := f.effect(ctx, db, key)
			return o, err
		}))
	}
	counts := make(map[int64]bool)
	for _, c := range calls {
		c.ends(t)
		require.NoError(t, c.err)
		counts[c.reply.Value.Number] = true
	}
	require.Equal(t, map[int64]bool{0: true, 1: true}, counts, "one has seen the other")
	// More, when it begins anew before the other's COMMIT is over.
	require.GreaterOrEqual(t, runs.Load(), int64(3))
	f.idle()
}
