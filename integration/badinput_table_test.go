package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A table or a column that is missing is a SchemaError with its cure in every
// call, and not whatever PostgreSQL makes of it. DoTx leaves its caller a
// transaction that can go on.
func TestBadInputTableMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ breaks, says string }{
		"table":  {"DROP TABLE %", "the table is missing, cure: call CreateSchema, or put SchemaSQL into your migrations"},
		"column": {"ALTER TABLE % DROP COLUMN expires_at CASCADE", "a column is missing, cure: call VerifySchema, which says which"},
	} {
		for _, mode := range execModes {
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				for _, call := range []string{"Do", "DoTx", "DoPool", "Get", "GetTx", "Put", "PutTx", "DeleteExpired"} {
					// A store of its own for each: the first call of a store is another
					// one than those after it.
					f := newFixture(t, withExecMode(mode))
					exec(t, strings.ReplaceAll(c.breaks, "%", f.table()))
					tx := begin(t, f.pool)
					_, err := f.effect(t.Context(), tx, "before")
					require.NoError(t, err)

					if call == "DeleteExpired" {
						_, err = f.store.DeleteExpired(t.Context(), 1)
					} else {
						err = entrances(t, f.store, tx)[call](f.request("k"))
					}
					var schemaErr *idemtx.SchemaError
					require.ErrorAs(t, err, &schemaErr, call)
					require.Equal(t, pgx.Identifier{f.schema, "idemtx_replies"}.Sanitize(), schemaErr.Table, call)
					require.Equal(t, []string{c.says}, schemaErr.Differences, call)
					require.ErrorContains(t, err, c.says, call)

					if call == "DoTx" {
						_, err = f.effect(t.Context(), tx, "after")
						require.NoError(t, err)
						require.NoError(t, tx.Commit(t.Context()))
						require.Equal(t, 2, f.effects("before")+f.effects("after"))
					} else {
						require.NoError(t, tx.Rollback(t.Context()))
					}
					f.idle()
				}
			})
		}
	}
}

// The table may be made while the store is in use.
func TestBadInputTableMadeLater(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		for _, mode := range execModes {
			t.Run(string(m.name)+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withExecMode(mode))
				exec(t, "DROP TABLE "+f.table())
				_, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
				var schemaErr *idemtx.SchemaError
				require.ErrorAs(t, err, &schemaErr)
				require.NoError(t, f.store.CreateSchema(t.Context()))
				_, err = m.do(t.Context(), f, f.request("k"), effect(f, "k"))
				require.NoError(t, err)
			})
		}
	}
}

// A table that the handler misses is the handler's affair.
func TestBadInputTableOfTheHandlerMissing(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			_, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (o order, err error) {
				return o, db.QueryRow(ctx, "SELECT 1 FROM "+f.schema+".missing").Scan(&o.Number)
			})
			var schemaErr *idemtx.SchemaError
			require.NotErrorAs(t, err, &schemaErr)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr)
			require.Equal(t, "42P01", pgErr.Code)
			require.Contains(t, pgErr.Message, "missing")
		})
	}
}
