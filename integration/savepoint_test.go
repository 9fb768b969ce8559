package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// inTxAtEveryLevel calls test for Do and DoTx under each isolation level.
func inTxAtEveryLevel(t *testing.T, test func(t *testing.T, m mode, f *fixture)) {
	t.Helper()
	for _, m := range modes[:2] {
		for _, level := range isolations {
			t.Run(string(m.name)+" "+string(level), func(t *testing.T) {
				t.Parallel()
				test(t, m, newFixture(t, withIsolation(level)))
			})
		}
	}
}

// A handler's savepoints are its own: what it releases stays, what it goes back
// to is undone, and what it leaves open is a part of its work.
func TestSavepointsOfTheHandler(t *testing.T) {
	t.Parallel()
	inTxAtEveryLevel(t, func(t *testing.T, m mode, f *fixture) {
		t.Helper()
		work := func(ctx context.Context, tx pgx.Tx, key string) pgx.Tx {
			t.Helper()
			_, err := f.effect(ctx, tx, key)
			require.NoError(t, err)
			inner, err := tx.Begin(ctx)
			require.NoError(t, err)
			return inner
		}
		reply, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
			for range 2 {
				released := work(ctx, tx, "kept")
				deeper := work(ctx, released, "kept")
				undone := work(ctx, deeper, "kept")
				deepest := work(ctx, undone, "undone")
				work(ctx, deepest, "undone") // left open in what is undone
				require.NoError(t, undone.Rollback(ctx))
				require.NoError(t, deeper.Commit(ctx))
				require.NoError(t, released.Commit(ctx))
			}
			failed := work(ctx, tx, "kept")
			_, err := failed.Exec(ctx, "SELECT 1 / 0")
			require.Error(t, err)
			require.NoError(t, failed.Rollback(ctx))
			open := work(ctx, tx, "kept")
			return f.effect(ctx, work(ctx, open, "kept"), "k")
		})
		require.NoError(t, err)
		require.Equal(t, 9, f.effects("kept"))
		require.Zero(t, f.effects("undone"))
		requireOnce(f, "k", reply)
	})
}

// Nor do they outlive what undoes the handler.
func TestSavepointsOfAHandlerThatIsUndone(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	inTxAtEveryLevel(t, func(t *testing.T, m mode, f *fixture) {
		t.Helper()
		for _, verdict := range []error{failed, idemtx.ErrRefused} {
			for state, broken := range map[string]bool{"": false, ", broken": true} {
				key := verdict.Error() + state
				_, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					released, err := tx.Begin(ctx)
					require.NoError(t, err)
					_, err = f.effect(ctx, released, key)
					require.NoError(t, err)
					require.NoError(t, released.Commit(ctx))
					_, err = tx.Exec(ctx, "SAVEPOINT idemtx")
					require.NoError(t, err)
					open, err := tx.Begin(ctx)
					require.NoError(t, err)
					_, err = f.effect(ctx, open, key)
					require.NoError(t, err)
					if broken {
						_, err = open.Exec(ctx, "SELECT 1 / 0")
						require.Error(t, err)
					}
					return order{}, verdict
				})
				if errors.Is(verdict, failed) {
					require.ErrorIs(t, err, failed)
				} else {
					require.NoError(t, err)
				}
			}
		}
		require.Equal(t, 2, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE refused"))
		require.Len(t, f.keys(), 2)
		require.Zero(t, ask[int](t, "SELECT count(*) FROM "+f.schema+".effects"))
		f.idle()
	})
}

// A part of a transaction that is undone takes the replies in it along, and the
// keys: whoever waits for one gets it at once, and not at the end of the whole.
//
//	A:  savepoint, DoTx, replied
//	B:                            lock ✗, waits
//	A:  back to the savepoint
//	B:                            owns the key, runs, commits
//	A:  DoTx ... which finds B's reply, if its snapshot can show it
func TestUndoneSavepointLetsGoOfTheKey(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withIsolation(level))
			b := f.peer(withMaxWait(patience))
			tx := transaction(f)
			part, err := tx.Begin(t.Context())
			require.NoError(t, err)
			first, err := idemtx.DoTx(t.Context(), f.store, part, f.request("k"), f.handler("k"))
			require.NoError(t, err)
			second := launch(t.Context(), modes[0], b, b.request("k"), effect(b, "k"))
			f.blocked(1)
			require.NoError(t, part.Rollback(t.Context()))
			second.ends(t)
			require.NoError(t, second.err)
			require.False(t, second.reply.Replayed)
			require.NotEqual(t, first.Value, second.reply.Value)

			again, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
			if level == pgx.ReadCommitted {
				require.NoError(t, err)
				require.True(t, again.Replayed)
				require.Equal(t, second.reply.Value, again.Value)
			} else {
				require.Equal(t, "40001", state(err), err)
			}
			require.NoError(t, tx.Commit(t.Context()))
			requireOnce(f, "k", second.reply)
		})
	}
}

// A handler that undoes the savepoint in which another key was answered has undone
// that answer with its work. It may ask again, in the same transaction.
func TestHandlerUndoesTheSavepointOfAReply(t *testing.T) {
	t.Parallel()
	inTxAtEveryLevel(t, func(t *testing.T, m mode, f *fixture) {
		t.Helper()
		var inner idemtx.Reply[order]
		outer, err := inTx(t, m, f, "outer", func(ctx context.Context, tx pgx.Tx) (order, error) {
			for _, keep := range []bool{false, true} {
				part, err := tx.Begin(ctx)
				require.NoError(t, err)
				inner, err = idemtx.DoTx(ctx, f.store, part, f.request("inner"), f.handler("inner"))
				require.NoError(t, err)
				require.False(t, inner.Replayed)
				if keep {
					require.NoError(t, part.Commit(ctx))
				} else {
					require.NoError(t, part.Rollback(ctx))
				}
			}
			return f.effect(ctx, tx, "outer")
		})
		require.NoError(t, err)
		requireOnce(f, "outer", outer)
		requireOnce(f, "inner", inner)
	})
}

// Its handler goes back to the savepoint that DoTx has taken. That undoes its work
// so far, and lets go of the key, which another then gets. What it does after that
// is judged by the primary key alone.
func TestHandlerUndoesTheSavepointItRunsIn(t *testing.T) {
	t.Parallel()
	for _, level := range isolations {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withIsolation(level))
			b := f.peer()
			undo := func(ctx context.Context, tx pgx.Tx, key string) {
				t.Helper()
				_, err := f.effect(ctx, tx, key)
				require.NoError(t, err)
				_, err = tx.Exec(ctx, `ROLLBACK TO SAVEPOINT "idemtx: before the handler"`)
				require.NoError(t, err)
			}
			alone, err := modes[1].do(t.Context(), f, f.request("alone"), func(ctx context.Context, db execer) (order, error) {
				undo(ctx, db.(pgx.Tx), "alone")
				return f.effect(ctx, db, "alone")
			})
			require.NoError(t, err)
			requireOnce(f, "alone", alone)

			var faster idemtx.Reply[order]
			reply, err := modes[1].do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				undo(ctx, db.(pgx.Tx), "k")
				var err error
				faster, err = idemtx.Do(t.Context(), b.store, b.request("k"), b.handler("k"))
				require.NoError(t, err)
				return f.effect(ctx, db, "k")
			})
			if level == pgx.ReadCommitted {
				require.NoError(t, err)
				require.True(t, reply.Replayed)
			} else {
				require.Equal(t, "40001", state(err), err)
			}
			requireOnce(f, "k", faster)
		})
	}
}
