package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// Deadlocks and write skew as PostgreSQL finds them, and not as a trigger says. In
// a deadlock the one with the shorter deadlock_timeout is the one that is ended.
var (
	victim   = withSetting("deadlock_timeout", "20ms")
	survivor = withSetting("deadlock_timeout", "1h")
)

// A:  locks one       B:  locks two
// A:  waits for two   B:  waits for one
// PostgreSQL ends one of them with 40P01, the other goes on, and the one is run again.
// Who waits looks for a deadlock once, so whoever comes to wait last has to.
func TestDeadlockOfTwoHandlers(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			persistent := withMaxAttempts(100) // one may come back before the other has woken up
			f := newFixture(t, withIsolation(level), victim, persistent)
			exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('one'), ('two')")
			b := f.peer(withIsolation(level), victim, persistent)
			var meet sync.WaitGroup
			meet.Add(2)
			locking := func(f *fixture, key, first, second string) (call *ongoing, runs *atomic.Int64) {
				runs = new(atomic.Int64)
				return launch(t.Context(), modes[0], f, f.request(key), func(ctx context.Context, db execer) (order, error) {
					var id int64
					lock := "SELECT id FROM " + f.schema + ".effects WHERE key = $1 FOR UPDATE"
					if err := db.QueryRow(ctx, lock, first).Scan(&id); err != nil {
						return order{}, err
					}
					if runs.Add(1) == 1 {
						meet.Done()
						meet.Wait()
					}
					if err := db.QueryRow(ctx, lock, second).Scan(&id); err != nil {
						return order{}, err
					}
					return f.effect(ctx, db, key)
				}), runs
			}
			one, runsOfA := locking(f, "a", "one", "two")
			two, runsOfB := locking(b, "b", "two", "one")
			one.ends(t)
			two.ends(t)
			require.NoError(t, one.err)
			require.NoError(t, two.err)
			require.Greater(t, runsOfA.Load()+runsOfB.Load(), int64(2))
			requireOnce(f, "a", one.reply)
			requireOnce(b, "b", two.reply)
		})
	}
}

// outsider begins a transaction of another program, which is never the victim.
func outsider(t *testing.T, f *fixture) pgx.Tx {
	t.Helper()
	return transaction(f.peer(survivor))
}

// A:  has done its work on a row
// X:  writes the row of A's key, and waits for A's other row
// A:  INSERT the reply: waits for X ── 40P01
// X:  commits; A finds the key answered.
func TestDeadlockInTheReplysInsert(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, victim)
			exec(t, "INSERT INTO "+f.schema+".effects (key) VALUES ('shared')")
			touch := "UPDATE " + f.schema + ".effects SET key = key WHERE key = 'shared'"
			r := f.request("k")
			fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
			require.NoError(t, err)
			x := outsider(t, f)
			ended := make(chan struct{})
			var failed error
			runs := 0
			reply, err := m.do(t.Context(), f, r, func(ctx context.Context, db execer) (order, error) {
				if runs++; runs > 1 { // it was faster than X's COMMIT
					<-ended
					return f.effect(ctx, db, "k")
				}
				o, err := f.effect(ctx, db, "k")
				require.NoError(t, err)
				_, err = db.(pgx.Tx).Exec(ctx, touch)
				require.NoError(t, err)
				stored, err := f.store.PutTx(t.Context(), x, f.scope, "k",
					idemtx.Entry{Fingerprint: fingerprint, Response: []byte(`{"number": 7}`)})
				require.NoError(t, err)
				require.True(t, stored)
				go func() {
					defer close(ended)
					if _, failed = x.Exec(t.Context(), touch); failed == nil {
						failed = x.Commit(t.Context())
					}
				}()
				f.waitsForRow()
				return o, nil
			})
			<-ended
			require.NoError(t, failed)
			require.Zero(t, f.effects("k"))
			if m.name == idemtx.ModeDoTx {
				require.Equal(t, "40P01", state(err), err)
				reply, err = m.do(t.Context(), f, r, mustNotRun(t))
			}
			require.NoError(t, err)
			require.True(t, reply.Replayed)
			require.Equal(t, order{Number: 7}, reply.Value)
			f.idle()
		})
	}
}

// X:  has the gate, through which every COMMIT of an effect has to go
// A:  has locked a row, for which X waits
// A:  COMMIT: waits at the gate ── 40P01.
func TestDeadlockAtCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, victim)
	exec(t, "CREATE TABLE "+f.schema+".shared AS SELECT 1 AS n")
	touch := "UPDATE " + f.schema + ".shared SET n = n"
	gated(f)() // open, but for what comes now
	x := outsider(t, f)
	_, err := x.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext($1))", f.schema)
	require.NoError(t, err)
	ended := make(chan error, 1)
	runs := 0
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		if runs++; runs == 1 {
			_, err := tx.Exec(ctx, touch)
			require.NoError(t, err)
			go func() {
				_, err := x.Exec(t.Context(), touch)
				if err == nil {
					err = x.Commit(t.Context())
				}
				ended <- err
			}()
			f.waitsForRow()
		}
		return f.effect(ctx, tx, "k")
	})
	require.NoError(t, err)
	require.NoError(t, <-ended)
	require.Equal(t, 2, runs)
	requireOnce(f, "k", reply)
}

// A:  reads black, writes white ── at COMMIT, held at the gate
// X:  reads white, writes black, commits
// A:  40001 at COMMIT, for either order of the two would have been another; and
// in DoTx at the caller's COMMIT, with the reply long written.
func TestWriteSkewAtCommit(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withIsolation(pgx.Serializable))
			exec(t, "CREATE TABLE "+f.schema+".black AS SELECT 1 AS n; CREATE TABLE "+f.schema+".white AS SELECT 1 AS n")
			open := gated(f)
			skew := func(ctx context.Context, tx pgx.Tx, from, to string) error {
				_, err := tx.Exec(ctx, "UPDATE "+f.schema+"."+to+" SET n = (SELECT max(n) + 1 FROM "+f.schema+"."+from+")")
				return err
			}
			x := transaction(f.peer(withIsolation(pgx.Serializable)))
			var seen int // by X
			require.NoError(t, x.QueryRow(t.Context(), "SELECT n FROM "+f.schema+".white").Scan(&seen))
			var runs atomic.Int64
			call := launch(t.Context(), m, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				runs.Add(1)
				if err := skew(ctx, db.(pgx.Tx), "black", "white"); err != nil {
					return order{}, err
				}
				return f.effect(ctx, db, "k")
			})
			f.blocked(1)
			require.EqualValues(t, 1, runs.Load())
			require.NoError(t, skew(t.Context(), x, "white", "black"))
			require.NoError(t, x.Commit(t.Context()))
			open()
			call.ends(t)
			if m.name == idemtx.ModeDoTx {
				require.Equal(t, "40001", state(call.err), call.err)
				require.EqualValues(t, 1, runs.Load())
				require.Zero(t, f.effects("k")+f.rows("k"))
				require.Equal(t, 1, ask[int](t, "SELECT n FROM "+f.schema+".white"))
				return
			}
			require.NoError(t, call.err)
			require.EqualValues(t, 2, runs.Load())
			require.Equal(t, 3, ask[int](t, "SELECT n FROM "+f.schema+".white"), "it has seen what X has written")
			requireOnce(f, "k", call.reply)
		})
	}
}
