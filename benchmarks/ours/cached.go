package ours

import (
	"context"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemcache"
	"github.com/idemtx/idemtx/idemtx"
)

// openCached opens Do with a memory of replies in this process.
func openCached(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	cache, err := idemcache.New(idemcache.Config{})
	if err != nil {
		return nil, nil, err
	}
	c, err := open(ctx, e, idemtx.Config{Cache: cache})
	if err != nil {
		cache.Close()
		return nil, nil, err
	}
	closeBoth := func() {
		c.pool.Close()
		cache.Close()
	}
	return openDo(c), closeBoth, nil
}
