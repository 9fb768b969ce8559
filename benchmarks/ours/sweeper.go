package ours

import (
	"context"
	"time"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemtx"
)

// Sweeping is a store that serves with Do and can be swept meanwhile, on a
// connection of the same pool.
type Sweeping struct {
	Handle contender.Handle
	Close  func()
	store  *idemtx.Store
}

// OpenSweeping opens a store whose replies live for so long.
func OpenSweeping(ctx context.Context, e contender.Env, live time.Duration) (*Sweeping, error) {
	c, err := open(ctx, e, idemtx.Config{TTL: live})
	if err != nil {
		return nil, err
	}
	return &Sweeping{Handle: openDo(c), Close: c.pool.Close, store: c.store}, nil
}

// SweepOnce sweeps one batch.
func (s *Sweeping) SweepOnce(ctx context.Context, limit int) error {
	_, err := s.store.DeleteExpired(ctx, limit)
	return err
}

// Sweep sweeps every so often until ctx ends.
func (s *Sweeping) Sweep(ctx context.Context, every time.Duration) {
	_ = s.store.RunSweeper(ctx, every) // the end of ctx, for which nobody is told
}
