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
