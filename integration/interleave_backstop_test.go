package integration

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// unlocked is the fixture as one has it who does not share its locks, which are
// made of schema and table: it works on the same rows through a view. Only the
// primary key stands between the two.
func unlocked(f *fixture, options ...option) *fixture {
	f.t.Helper()
	view := newSchema(f.t)
	exec(f.t, "CREATE VIEW "+view+".idemtx_replies AS SELECT * FROM "+f.table())
	return f.peer(append(options, withConfig(func(c *idemtx.Config) { c.Schema = view }))...)
}

func withIsolation(level pgx.TxIsoLevel) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) {
		p.ConnConfig.RuntimeParams["default_transaction_isolation"] = string(level)
	}
}

var isolations = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// state is the SQLSTATE of an error.
func state(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// overtaken is a handler during which another one answers the same key.
func overtaken(f *fixture, key string, overtake func()) func(context.Context, pgx.Tx) (order, error) {
	return func(ctx context.Context, tx pgx.Tx) (order, error) {
		o, err := f.effect(ctx, tx, key)
		overtake()
		return o, err
	}
}

// A:  runs, has done its work
// B:  runs, does its work, commits
// A:  INSERT the reply ✗, so its work is undone; replays B's.
func TestOvertakenWithoutALock(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		for _, dead := range []bool{false, true} {
			f := newFixture(t, withIsolation(level))
			other := unlocked(f, withIsolation(level))
			if dead { // a reply of long ago is in the way of both
				_, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (order, error) {
					return order{Note: "of long ago"}, nil
				})
				require.NoError(t, err)
				f.expire("k")
			}
			var winner idemtx.Reply[order]
			reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), overtaken(f, "k", func() {
				var err error
				winner, err = idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k"))
				require.NoError(t, err)
			}))
			require.NoError(t, err)
			require.False(t, winner.Replayed)
			require.True(t, reply.Replayed)
			require.Equal(t, winner.Value, reply.Value)
			requireOnce(f, "k", winner)
		}
	}
}

// A look at what has overtaken it follows every attempt, whatever has become of those
// in which the handler did not run.
func TestOvertakenInTheLastAttemptWithoutALock(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire), withMaxAttempts(1))
	judge, met := once(func(t *trip) bool { return t.has("held") }, drop)
	wire.meet(judge)
	other := unlocked(f)
	var winner idemtx.Reply[order]
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), overtaken(f, "k", func() {
		var err error
		winner, err = idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k"))
		require.NoError(t, err)
	}))
	require.True(t, met.Load())
	require.NoError(t, err)
	require.True(t, reply.Replayed)
	requireOnce(f, "k", winner)
}

// The same in a transaction of the caller's, which goes on as if nothing had
// been done. A snapshot that cannot show B's reply is of no use to the caller.
func TestOvertakenInDoTxWithoutALock(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		f := newFixture(t, withIsolation(level))
		other := unlocked(f)
		var winner idemtx.Reply[order]
		tx := transaction(f)
		_, err := f.effect(t.Context(), tx, "before")
		require.NoError(t, err)
		reply, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), overtaken(f, "k", func() {
			var err error
			winner, err = idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k"))
			require.NoError(t, err)
		}))
		if level == pgx.ReadCommitted {
			require.NoError(t, err)
			require.True(t, reply.Replayed)
			require.Equal(t, winner.Value, reply.Value)
		} else {
			require.Equal(t, "40001", state(err), err)
			require.Zero(t, reply)
		}
		_, err = f.effect(t.Context(), tx, "after")
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, 1, f.effects("before"))
		require.Equal(t, 1, f.effects("after"))
		requireOnce(f, "k", winner)
	}
}

// The one that overtakes is another request.
func TestOvertakenByAnotherRequestWithoutALock(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		f := newFixture(t)
		other := unlocked(f)
		reply, err := m.do(t.Context(), f, f.other("k"), func(ctx context.Context, db execer) (order, error) {
			return overtaken(f, "k", func() {
				_, err := idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k"))
				require.NoError(t, err)
			})(ctx, db.(pgx.Tx))
		})
		require.ErrorIs(t, err, idemtx.ErrMismatch)
		require.Zero(t, reply)
		require.Equal(t, 1, f.effects("k"))
		require.Equal(t, 1, f.rows("k"))
		f.idle()
	}
}

// A program that knows nothing of idemtx writes the row.
func TestOvertakenByPlainSQL(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		f := newFixture(t)
		r := f.request("k")
		fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
		require.NoError(t, err)
		reply, err := m.do(t.Context(), f, r, func(ctx context.Context, db execer) (order, error) {
			return overtaken(f, "k", func() {
				_, err := f.pool.Exec(t.Context(), "INSERT INTO "+f.table()+
					" (scope, key, fingerprint, response, created_at, expires_at)"+
					" VALUES ($1, 'k', $2, '{\"number\": 7}', now(), now() + interval '1 hour')",
					f.scope.Key(), fingerprint[:])
				require.NoError(t, err)
			})(ctx, db.(pgx.Tx))
		})
		require.NoError(t, err)
		require.True(t, reply.Replayed)
		require.Equal(t, order{Number: 7}, reply.Value)
		require.Zero(t, f.effects("k"))
		require.Equal(t, 1, f.rows("k"))
		f.idle()
	}
}

// waitsForRow waits until a backend waits for the end of another's transaction.
func (f *fixture) waitsForRow() {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return ask[int](f.t, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'transactionid' AND NOT l.granted AND a.application_name = $1`, f.schema) == 1
	}, time.Minute, 5*time.Millisecond)
}

// A:  INSERT the reply, COMMIT ── held at the gate
// B:  INSERT the reply ── waits for A's transaction
// A:  committed, or dead
// B:  ✗, replays A's; or commits, and A replays B's.
func TestOvertakenAtTheCommitWithoutALock(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"A commits": false, "A dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			open := gated(f)
			other := unlocked(f)
			var a, b idemtx.Reply[order]
			var errA, errB error
			var wg sync.WaitGroup
			runs := 0
			wg.Go(func() {
				a, errA = idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					if runs++; runs > 1 {
						f.blocked(1) // B has gone first
					}
					return f.effect(ctx, tx, "k")
				})
			})
			f.blocked(1)
			wg.Go(func() { b, errB = idemtx.Do(t.Context(), other.store, other.request("k"), other.handler("k")) })
			f.waitsForRow()
			if dies {
				terminate(t, waiter(f))
				f.waitsForRow() // A has run again
				f.blocked(1)    // and it is B that is at the gate
			}
			open()
			wg.Wait()
			require.NoError(t, errA)
			require.NoError(t, errB)
			require.Equal(t, dies, a.Replayed)
			require.Equal(t, !dies, b.Replayed)
			require.Equal(t, a.Value, b.Value)
			requireOnce(f, "k", a)
			other.idle()
		})
	}
}

func TestRaceWithoutALock(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			// Each has a line and a lock of its own.
			runs := race(t, m, 20, f, unlocked(f), unlocked(f), unlocked(f))
			require.Equal(t, 1, f.effects("k"))
			require.Equal(t, 1, f.rows("k"))
			if !m.atomic { // a claim is the primary key's: no handler runs beside it
				require.EqualValues(t, 1, runs)
			}
		})
	}
}
