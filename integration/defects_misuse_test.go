package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// inTx runs a request in Do or DoTx, with a handler that gets all of its
// transaction.
func inTx(t *testing.T, m mode, f *fixture, key string, fn func(ctx context.Context, tx pgx.Tx) (order, error)) (idemtx.Reply[order], error) {
	t.Helper()
	return m.do(t.Context(), f, f.request(key), func(ctx context.Context, db execer) (order, error) {
		tx, ok := db.(pgx.Tx)
		require.True(t, ok)
		return fn(ctx, tx)
	})
}

// endings are the ways out of a transaction by SQL, and into another one.
var endings = map[string][]string{
	"commit":             {"COMMIT"},
	"rollback":           {"ROLLBACK"},
	"commit_and_chain":   {"COMMIT AND CHAIN"},
	"rollback_and_chain": {"ROLLBACK AND CHAIN"},
	"commit_begin":       {"COMMIT", "BEGIN"},
	"rollback_begin":     {"ROLLBACK", "BEGIN"},
	"abort_begin":        {"SELECT 1/0", "ROLLBACK", "BEGIN"},
}

func endBySQL(ctx context.Context, tx pgx.Tx, statements []string) {
	for _, sql := range statements {
		_, _ = tx.Exec(ctx, sql) // a handler that does this does not look at errors either
	}
}

// A handler that ends the transaction by SQL has parted its work from the reply.
// Were the reply stored, it would be in a transaction of its own, and believed.
func TestMisuseEndBySQL(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		for _, mode := range execModes {
			t.Run(string(m.name)+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withExecMode(mode))
				for key, statements := range endings {
					_, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
						endBySQL(ctx, tx, statements)
						return order{Number: 1}, nil
					})
					require.ErrorIs(t, err, idemtx.ErrTxMisuse, key)
					require.Zero(t, f.rows(key), key)
					f.idle()
					_, err = m.do(t.Context(), f, f.request(key), effect(f, key))
					require.NoError(t, err, key)
				}
			})
		}
	}
}

// The same of a handler that refuses: what it has committed cannot be undone, so
// the reply that says so must not be stored.
func TestMisuseEndBySQLAndRefuse(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for key, statements := range endings {
				reply, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, key)
					require.NoError(t, err)
					endBySQL(ctx, tx, statements)
					return o, idemtx.ErrRefused
				})
				require.ErrorIs(t, err, idemtx.ErrTxMisuse, key)
				require.Zero(t, reply, key)
				require.Zero(t, f.rows(key), key)
			}
		})
	}
}

// A handler that releases the savepoint of DoTx has taken away what its work
// would be undone to.
func TestMisuseSavepoint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := inTx(t, modes[1], f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
		endBySQL(ctx, tx, []string{`RELEASE SAVEPOINT "idemtx: before the handler"`})
		return f.effect(ctx, tx, "k")
	})
	require.ErrorIs(t, err, idemtx.ErrTxMisuse)
	require.Zero(t, f.rows("k")+f.effects("k"))
}

// A handler that returns no error although a statement has failed would have its
// reply stored for work that is not there.
func TestMisuseSwallowedFailure(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		for _, mode := range execModes {
			t.Run(string(m.name)+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withExecMode(mode))
				_, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, "k")
					_, _ = tx.Exec(ctx, "SELECT 1/0")
					return o, err
				})
				require.ErrorIs(t, err, idemtx.ErrTxMisuse)
				require.Zero(t, f.effects("k")+f.rows("k"))

				// Under a savepoint of its own it may.
				_, err = inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
					attempt, err := tx.Begin(ctx)
					require.NoError(t, err)
					_, err = attempt.Exec(ctx, "SELECT 1/0")
					require.Error(t, err)
					require.NoError(t, attempt.Rollback(ctx))
					return f.effect(ctx, tx, "k")
				})
				require.NoError(t, err)
				require.Equal(t, 1, f.effects("k"))
			})
		}
	}
}

// A handler that leaves rows unread leaves a connection on which the reply cannot
// be sent. It is its fault and no failure of the connection, so it is not run
// again.
func TestMisuseRowsLeftOpen(t *testing.T) {
	t.Parallel()
	for outcome, returned := range map[string]error{"reply": nil, "refusal": idemtx.ErrRefused} {
		for _, m := range modes[:2] {
			t.Run(string(m.name)+"/"+outcome, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				runs := 0
				_, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
					runs++
					o, err := f.effect(ctx, tx, "k")
					require.NoError(t, err)
					_, err = tx.Query(ctx, "SELECT generate_series(1, 100000)")
					require.NoError(t, err)
					return o, returned
				})
				require.ErrorIs(t, err, idemtx.ErrTxMisuse)
				require.Equal(t, 1, runs)
				f.idle()
				require.Zero(t, f.effects("k")+f.rows("k"))
			})
		}
	}
}

// Commit and Rollback are not the handler's.
func TestMisuseCommitAndRollback(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for key, end := range map[string]func(context.Context, pgx.Tx) error{
				"commit":   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
				"rollback": func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
			} {
				_, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					_, err := f.effect(ctx, tx, key)
					return order{}, errors.Join(err, end(ctx, tx))
				})
				require.ErrorIs(t, err, idemtx.ErrTxMisuse)
				require.Zero(t, f.effects(key)+f.rows(key))
				// Nothing has come of it, so who ignores the error does no harm.
				_, err = inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					_ = end(ctx, tx)
					return f.effect(ctx, tx, key)
				})
				require.NoError(t, err)
				require.Equal(t, 1, f.effects(key))
			}
		})
	}
}

// A transaction that is kept is on a connection which belongs to somebody else by
// then: in Do to the pool, in DoTx to the caller. What is done with it would be
// done in the transaction of a stranger.
func TestMisuseKept(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(ctx context.Context, tx pgx.Tx) (pgx.Tx, error){
		"itself": func(_ context.Context, tx pgx.Tx) (pgx.Tx, error) { return tx, nil },
		"nested": func(ctx context.Context, tx pgx.Tx) (pgx.Tx, error) { return tx.Begin(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxConns(1))
			var kept pgx.Tx
			handler := func(ctx context.Context, tx pgx.Tx) (o order, err error) {
				kept, err = keep(ctx, tx)
				return o, err
			}
			_, err := idemtx.Do(t.Context(), f.store, f.request("Do"), handler)
			require.NoError(t, err)
			require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
				requireUseless(t, f, kept)
				_, err = idemtx.DoTx(t.Context(), f.store, tx, f.request("DoTx"), handler)
				require.NoError(t, err)
				requireUseless(t, f, kept)
				_, err = f.effect(t.Context(), tx, "k")
				return err
			}))
			require.Zero(t, f.effects("late"))
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// requireUseless tries everything a transaction can do.
func requireUseless(t *testing.T, f *fixture, tx pgx.Tx) {
	t.Helper()
	ctx := t.Context()
	insert := "INSERT INTO " + f.schema + ".effects (key) VALUES ('late') RETURNING id"
	tried := map[string]func() error{
		"Commit":   func() error { return tx.Commit(ctx) },
		"Rollback": func() error { return tx.Rollback(ctx) },
		"Begin": func() error {
			_, err := tx.Begin(ctx)
			return err
		},
		"Exec": func() error {
			_, err := tx.Exec(ctx, insert)
			return err
		},
		"Query": func() error {
			rows, err := tx.Query(ctx, insert)
			rows.Close()
			return err
		},
		"QueryRow": func() error {
			var id int64
			return tx.QueryRow(ctx, insert).Scan(&id)
		},
		"Prepare": func() error {
			_, err := tx.Prepare(ctx, "late", insert)
			return err
		},
		"SendBatch": func() error {
			b := &pgx.Batch{}
			b.Queue(insert)
			return tx.SendBatch(ctx, b).Close()
		},
		"CopyFrom": func() error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{f.schema, "effects"}, []string{"key"}, pgx.CopyFromRows([][]any{{"late"}}))
			return err
		},
	}
	done := make(chan struct{})
	go func() { // as a handler's goroutine would
		defer close(done)
		for name, try := range tried {
			if err := try(); !errors.Is(err, idemtx.ErrTxMisuse) {
				t.Errorf("%s of a transaction that was kept: %v", name, err)
			}
		}
	}()
	<-done
	objects := tx.LargeObjects() // its methods cannot tell why
	if oid, err := objects.Create(ctx, 0); err == nil {
		t.Errorf("a transaction that was kept has created large object %d", oid)
	}
}
