package idemadmin

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// Due counts the rows that are due for the sweeper. Unlike [Count] it reads no
// others, as long as the table has its index on expires_at.
func Due(ctx context.Context, s *idemtx.Store) (n int64, err error) {
	if err = s.Pool().QueryRow(ctx, statement(s, "due"), pgx.QueryExecModeExec).Scan(&n); err != nil {
		return 0, failed(ctx, s, "count what is due", err)
	}
	return n, nil
}
