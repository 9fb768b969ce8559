package contender

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pool opens a pool of the size that all contenders have, and creates what the
// contender keeps beside the effects.
func (e Env) Pool(ctx context.Context, ddl ...string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(e.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = e.MaxConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	for _, statement := range ddl {
		if _, err := pool.Exec(ctx, statement); err != nil {
			pool.Close()
			return nil, fmt.Errorf("create its table: %w", err)
		}
	}
	return pool, nil
}
