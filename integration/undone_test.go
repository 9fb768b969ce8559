package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// stories are what a handler may make of a transaction that PostgreSQL has undone.
var stories = map[string]func(order) (order, error){
	"nothing happened": func(o order) (order, error) { return o, nil },
	"something else":   func(order) (order, error) { return order{}, errors.New("out of stock") },
	"a refusal":        func(o order) (order, error) { return o, idemtx.ErrRefused },
}

// TestUndoneWhateverTheHandlerSays: Do runs it again, and DoTx tells its caller,
// for it was said of a transaction that is no more.
func TestUndoneWhateverTheHandlerSays(t *testing.T) {
	t.Parallel()
	for told, story := range stories {
		for name, write := range ways {
			t.Run(told+" in "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.failing(1, "40001", false)
				runs := 0
				handler := func(ctx context.Context, tx pgx.Tx) (order, error) {
					if runs++; runs == 1 {
						_ = write(ctx, tx, f)
						if tx.Conn().PgConn().TxStatus() == 'E' {
							return story(order{})
						}
						return order{}, &pgconn.PgError{Severity: "ERROR", Code: "40001"} // it was in a savepoint
					}
					return f.effect(ctx, tx, "again")
				}
				err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
					_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("undone"), handler)
					return err
				})
				var pgErr *pgconn.PgError
				require.ErrorAs(t, err, &pgErr)
				require.Equal(t, "40001", pgErr.Code)
				require.Equal(t, 1, runs)
				require.Zero(t, f.rows("undone"))

				exec(t, "ALTER SEQUENCE "+f.schema+".failures RESTART")
				runs = 0
				reply, err := idemtx.Do(t.Context(), f.store, f.request("undone"), handler)
				require.NoError(t, err)
				require.Equal(t, 2, runs)
				require.False(t, reply.Refused)
				require.Equal(t, 1, f.effects("again"))
			})
		}
	}
}

// olds are failures that were mended, and are told once more by a deferred Close.
var olds = map[string]func(ctx context.Context, tx pgx.Tx) (deferred func()){
	"rows": func(ctx context.Context, tx pgx.Tx) func() {
		rows, err := tx.Query(ctx, "SELECT NULL::text")
		if err == nil && rows.Next() {
			_ = rows.Scan(new(string)) // NULL is none
		}
		return rows.Close
	},
	"a batch": func(ctx context.Context, tx pgx.Tx) func() {
		var results pgx.BatchResults
		_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			b := new(pgx.Batch)
			b.Queue("SELECT 1 / $1::int", 0)
			results = tx.SendBatch(ctx, b)
			return results.Close()
		})
		return func() { _ = results.Close() }
	},
}

// TestUndoneBehindAnOldFailure: what has aborted the transaction is not what was
// told last.
func TestUndoneBehindAnOldFailure(t *testing.T) {
	t.Parallel()
	for name, old := range olds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.failing(1, "40001", false)
			runs := 0
			reply, err := idemtx.Do(t.Context(), f.store, f.request("old"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				if runs++; runs > 1 {
					return f.effect(ctx, tx, "again")
				}
				defer old(ctx, tx)()
				_ = ways["Exec"](ctx, tx, f)
				return order{}, idemtx.ErrRefused
			})
			require.NoError(t, err)
			require.False(t, reply.Refused)
			require.Equal(t, 2, runs)
		})
	}
}

// TestLostBehindAStatementThatWasNotSent: a handler that has given up one
// statement, and not the connection, is run again when that is lost.
func TestLostBehindAStatementThatWasNotSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	runs := 0
	_, err := idemtx.Do(t.Context(), f.store, f.request("lost"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		if runs++; runs > 1 {
			return f.effect(ctx, tx, "lost")
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := tx.Exec(ended, "SELECT 1")
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, tx.Conn().IsClosed())
		_, err = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return order{}, err
	})
	require.NoError(t, err)
	require.Equal(t, 2, runs)
	require.Equal(t, 1, f.effects("lost"))
}
