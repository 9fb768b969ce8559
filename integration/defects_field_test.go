package integration

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// What users of other systems complain about.

// The reply that was in the way expires and is swept between the INSERT that it
// has refused and the SELECT that is to find it. Nothing is in flight then, and
// to say so would send the client away for nothing: the key is free.
func TestDefectSweptBeforeLookup(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			var f *fixture
			var swept atomic.Bool
			sweep := func(err error) {
				if code(err) == "23505" && swept.CompareAndSwap(false, true) {
					exec(t, "DELETE FROM "+f.table())
				}
			}
			f = newFixture(t, withTracer(watcher(sweep)))
			var runs int
			request := func() (idemtx.Reply[order], error) {
				return m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
					if runs++; runs == 1 {
						putBehindItsBack(t, f.peer(), "k")
					}
					return f.effect(ctx, db, "k")
				})
			}
			reply, err := request()
			require.NotErrorIs(t, err, idemtx.ErrInFlight)
			if m.name == idemtx.ModeDoTx {
				require.Equal(t, "40001", code(err)) // it is for the caller to begin anew
				reply, err = request()
			}
			require.NoError(t, err)
			require.True(t, swept.Load())
			require.False(t, reply.Replayed)
			require.Equal(t, 2, runs)
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// The same when a claim finds the key answered, and then the answer gone.
func TestDefectSweptBeforeLookupOfClaim(t *testing.T) {
	t.Parallel()
	for _, policy := range []idemtx.Duplicate{idemtx.Wait, idemtx.Refuse} {
		t.Run(strconv.Itoa(int(policy)), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			putBehindItsBack(t, f, "k")
			// It deletes the reply when the claim's INSERT has found it, once.
			exec(t, `CREATE TABLE `+f.schema+`.armed AS SELECT true AS armed`)
			exec(t, `CREATE FUNCTION `+f.schema+`.sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF (SELECT armed FROM `+f.schema+`.armed) THEN
					UPDATE `+f.schema+`.armed SET armed = false;
					DELETE FROM `+f.table()+`;
				END IF;
				RETURN NULL;
			END $$`)
			exec(t, `CREATE TRIGGER sweep AFTER INSERT ON `+f.table()+` EXECUTE FUNCTION `+f.schema+`.sweep()`)
			r := f.request("k")
			r.OnDuplicate = policy
			reply, err := pooled.do(t.Context(), f, r, effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.False(t, ask[bool](t, "SELECT armed FROM "+f.schema+".armed"))
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// code is the SQLSTATE in err.
func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// On PostgreSQL a duplicate key aborts the transaction. The caller's must go on,
// with what it has done before, and nobody must be told of a 23505.
func TestDefectUniqueViolationAbortsTheCaller(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(mode))
			require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
				_, err := f.effect(t.Context(), tx, "before")
				require.NoError(t, err)
				reply, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					putBehindItsBack(t, f, "k")
					return f.effect(ctx, tx, "k")
				})
				require.NoError(t, err)
				require.True(t, reply.Replayed)
				stored, err := f.store.PutTx(t.Context(), tx, f.scope, "k", idemtx.Entry{Response: []byte("1")})
				require.NoError(t, err)
				require.False(t, stored)
				_, err = f.effect(t.Context(), tx, "after")
				require.NoError(t, err)
				return nil
			}))
			require.Equal(t, 2, f.effects("before")+f.effects("after"))
			require.Zero(t, f.effects("k"))
		})
	}
}

// In a snapshot that cannot show the reply which is in the way, DoTx returns the
// serialization failure that callers of such transactions know, not a 23505, and
// the work is undone.
func TestDefectUniqueViolationInAnOldSnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx := begin(t, f.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	_, err := f.effect(t.Context(), tx, "before")
	require.NoError(t, err)
	putBehindItsBack(t, f, "k")
	runs := 0
	_, err = idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs++
		return f.effect(ctx, tx, "k")
	})
	require.Equal(t, "40001", code(err))
	require.Equal(t, 1, runs)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, f.effects("before"))
	require.Zero(t, f.effects("k"))
}

// A loser that takes it for granted that the winner will commit loses the work
// when the winner does not:
//
//	A: DoTx            runs, replies
//	B: Do                             waits
//	A: rollback
//	B:                                         owns the key, runs
func TestDefectLoserTrustsTheWinner(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxWait = time.Minute }))
			tx := begin(t, f.pool)
			_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
			require.NoError(t, err)
			var reply idemtx.Reply[order]
			done := make(chan struct{})
			go func() {
				defer close(done)
				reply, err = m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			}()
			f.blocked(1)
			require.NoError(t, tx.Rollback(t.Context()))
			<-done
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// Who asks while the first request is in flight wants its reply, not an error.
func TestDefectRaisesInsteadOfWaiting(t *testing.T) {
	t.Parallel()
	patient := withConfig(func(c *idemtx.Config) { c.MaxWait = time.Minute })
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, patient)
			other := f.peer(patient)
			p := start(t, m, f, "k")
			var second idemtx.Reply[order]
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				second, err = m.do(t.Context(), other, other.request("k"), mustNotRun(t))
			}()
			if m.atomic {
				f.blocked(1)
			} else { // it looks again and again
				require.Eventually(t, func() bool { return other.pool.Stat().AcquireCount() >= 3 }, time.Minute, time.Millisecond)
			}
			first, firstErr := p.finish(nil)
			<-done
			require.NoError(t, errors.Join(err, firstErr))
			require.True(t, second.Replayed)
			require.Equal(t, first.Value, second.Value)
		})
	}
}

// Callers of one key must not fight it out with serialization failures: each is
// a whole transaction for nothing, and under load nobody gets through. Here one
// caller of each process waits with a snapshot in which there is no reply.
func TestDefectStormOfSerializationFailures(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			var failures atomic.Int64
			count := func(err error) {
				if code(err) != "" {
					failures.Add(1)
				}
			}
			options := []option{withTracer(watcher(count)), withConfig(func(c *idemtx.Config) {
				c.TxOptions.IsoLevel, c.MaxWait = level, time.Minute
			})}
			f := newFixture(t, options...)
			first := start(t, modes[0], f, "k")
			var wg sync.WaitGroup
			for range 4 {
				p := f.peer(options...)
				for range 10 {
					wg.Go(func() {
						reply, err := modes[0].do(t.Context(), p, p.request("k"), mustNotRun(t))
						if err != nil || !reply.Replayed {
							t.Error(reply.Replayed, err)
						}
					})
				}
			}
			f.blocked(4)
			_, err := first.finish(nil)
			require.NoError(t, err)
			wg.Wait()
			require.Zero(t, failures.Load())
		})
	}
}

// Whatever goes wrong each time is tried MaxAttempts times and not for ever.
func TestDefectEndlessRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxAttempts = 4 }))
	for key, sql := range map[string]string{
		"connection":    "SELECT pg_terminate_backend(pg_backend_pid())",
		"serialization": "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$",
		"deadlock":      "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$",
	} {
		runs := 0
		_, err := idemtx.Do(t.Context(), f.store, f.request(key), func(ctx context.Context, tx pgx.Tx) (order, error) {
			runs++
			if _, err := f.effect(ctx, tx, key); err != nil {
				return order{}, err
			}
			_, err := tx.Exec(ctx, sql)
			return order{}, err
		})
		require.Error(t, err, key)
		require.Equal(t, 4, runs, key)
		require.Zero(t, f.effects(key)+f.rows(key), key)
	}
	runs := 0
	_, err := inTx(t, modes[1], f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs++
		_, err := tx.Exec(ctx, "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
		return order{}, err
	})
	require.Equal(t, "40001", code(err))
	require.Equal(t, 1, runs, "only the caller can begin its transaction anew")
}

// Nor is a server that hangs up on every connection asked for ever.
func TestDefectEndlessReconnects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acquired := 0
	hangUp := func(p *pgxpool.Config, c *idemtx.Config) {
		c.MaxAttempts = 4
		p.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) {
			acquired++
			return ask[bool](t, "SELECT pg_terminate_backend($1, 60000)", conn.PgConn().PID()), nil
		}
	}
	_, err := modes[0].do(t.Context(), f.peer(hangUp), f.request("k"), mustNotRun(t))
	require.Error(t, err)
	require.Equal(t, 5, acquired, "one look more than attempts")
}
