package snippets

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

func newPoolWithoutPreparedStatements(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgxpool.NewWithConfig(ctx, config)
}

func TestPgBouncerPool(t *testing.T) {
	t.Parallel()
	pool, err := newPoolWithoutPreparedStatements(t.Context(), server.URL)
	require.NoError(t, err)
	defer pool.Close()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for range 2 {
		var prepared int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements WHERE $1", true).Scan(&prepared))
		require.Zero(t, prepared)
	}
}
