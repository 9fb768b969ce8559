package integration

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
)

// onNode is a fixture on a server of the test's own. What looks at the shared
// server is of no use with it.
func onNode(t *testing.T, n *pgnode.Node, options ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, schema: "public", scope: mustScope(t, "tenant", "principal")}
	config, err := pgxpool.ParseConfig(n.URL())
	require.NoError(t, err)
	store := idemtx.Config{}
	for _, change := range options {
		change(config, &store)
	}
	f.pool, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(f.pool.Close)
	f.store, err = idemtx.New(f.pool, store)
	require.NoError(t, err)
	require.NoError(t, f.store.CreateSchema(t.Context()))
	_, err = f.pool.Exec(t.Context(),
		"CREATE TABLE IF NOT EXISTS effects (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL)")
	require.NoError(t, err)
	return f
}

// count returns the number of rows of a table of the fixture's server.
func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	require.NoError(f.t, f.pool.QueryRow(f.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// A handler that prepares its transaction for a commit in two phases has parted
// its work from the reply: somebody else may commit it, or nobody. That keeps the
// key until then, so the work is not done again beside it.
func TestMisusePrepareTransaction(t *testing.T) {
	t.Parallel()
	f := onNode(t, pgnode.New(t, "max_prepared_transactions = 2"), withConfig(refusing), withMaxWait(50*time.Millisecond))
	for _, m := range modes[:2] {
		for name, more := range map[string][]string{"and nothing": nil, "and another": {"BEGIN"}} {
			for outcome, verdict := range map[string]error{"reply": nil, "refusal": idemtx.ErrRefused} {
				key := string(m.name) + name + outcome
				_, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, key)
					require.NoError(t, err)
					endBySQL(ctx, tx, append([]string{"PREPARE TRANSACTION 'it'"}, more...))
					require.NotEqual(t, byte('E'), tx.Conn().PgConn().TxStatus())
					return o, verdict
				})
				require.ErrorIs(t, err, idemtx.ErrTxMisuse, key)
				require.Equal(t, 1, f.count("pg_catalog.pg_prepared_xacts"))
				_, err = m.do(t.Context(), f, f.request(key), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrInFlight, key)
				require.Zero(t, f.count("idemtx_replies"))

				_, err = f.pool.Exec(t.Context(), "ROLLBACK PREPARED 'it'")
				require.NoError(t, err)
				_, err = m.do(t.Context(), f, f.request(key), effect(f, key))
				require.NoError(t, err, key)
				_, err = f.pool.Exec(t.Context(), "DELETE FROM idemtx_replies")
				require.NoError(t, err)
			}
		}
	}
	require.Equal(t, 8, f.count("effects"))
}

// Where the server allows no such thing, the attempt has rolled everything back.
func TestMisusePrepareTransactionWhereItIsOff(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		f := newFixture(t)
		for outcome, verdict := range map[string]error{"reply": nil, "refusal": idemtx.ErrRefused} {
			_, err := inTx(t, m, f, outcome, func(ctx context.Context, tx pgx.Tx) (order, error) {
				o, err := f.effect(ctx, tx, outcome)
				require.NoError(t, err)
				endBySQL(ctx, tx, []string{"PREPARE TRANSACTION 'it'", "BEGIN"})
				return o, verdict
			})
			require.ErrorIs(t, err, idemtx.ErrTxMisuse, outcome)
			require.Zero(t, f.effects(outcome)+f.rows(outcome))
			f.idle()
			reply, err := m.do(t.Context(), f, f.request(outcome), effect(f, outcome))
			require.NoError(t, err)
			requireOnce(f, outcome, reply)
		}
	}
}
