package cases

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// Size is what the table of replies takes at a time.
type Size struct {
	After        time.Duration
	Requests     int64
	Table, Index int64 // bytes
	Live, Dead   int64 // rows, as PostgreSQL has them counted
	Vacuums      int64 // by autovacuum, of the table
}

// Growth is the sizes of one table over time.
type Growth struct {
	Name  string
	Sizes []Size
}

// GrowCase is the name of the case that tells sizes over time.
const GrowCase = "bloat"

const (
	growLive  = time.Minute // the shortest that a store takes
	growEvery = 10 * time.Second
	forever   = 1 << 62
)

// grow serves so many first requests whose replies expire after a minute, and
// sweeps all the while.
func grow(requests int) Case {
	return Case{
		Name:  GrowCase,
		About: fmt.Sprintf("%d first requests through Do whose replies live for %v, swept every second", requests, growLive),
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			s := &swept{}
			st, err := b.openSwept(ctx, s, growLive)
			if err != nil {
				return Result{}, err
			}
			defer st.end()
			s.stage = st
			sizes, err := s.growth(ctx, int64(requests))
			return Result{Growths: []Growth{{Name: ours.Do, Sizes: sizes}}}, err
		},
	}
}

func (s *swept) growth(ctx context.Context, requests int64) ([]Size, error) {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	sweeper := make(chan struct{})
	go func() {
		defer close(sweeper)
		s.sweeping.Sweep(serving, time.Second)
	}()
	var begun atomic.Int64
	served := make(chan measure.Slice, 1)
	go func() {
		served <- measure.Run(serving, forever, int(s.env.MaxConns), func(ctx context.Context, r *measure.Recorder) {
			if begun.Add(1) > requests {
				stop()
				return
			}
			s.once(contender.First)(context.WithoutCancel(ctx), r)
		})
	}()
	var sizes []Size
	start := time.Now()
	every := time.NewTicker(growEvery)
	defer every.Stop()
	for {
		var whole *measure.Slice
		select {
		case <-every.C:
		case slice := <-served:
			whole = &slice
		}
		size, err := s.size(ctx)
		if err != nil {
			return sizes, err
		}
		size.After, size.Requests = time.Since(start), min(begun.Load(), requests)
		sizes = append(sizes, size)
		if whole != nil {
			<-sweeper
			return sizes, whole.Failure
		}
	}
}

func (s *swept) size(ctx context.Context) (size Size, err error) {
	table := ours.Table(s.env)
	err = s.bench.Admin.QueryRow(ctx, `SELECT pg_table_size($1::regclass), pg_indexes_size($1::regclass),
		coalesce(n_live_tup, 0), coalesce(n_dead_tup, 0), autovacuum_count
		FROM pg_stat_user_tables WHERE relid = $1::regclass`, table).
		Scan(&size.Table, &size.Index, &size.Live, &size.Dead, &size.Vacuums)
	return size, err
}
