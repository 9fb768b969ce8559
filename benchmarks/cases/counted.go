package cases

import (
	"context"
	"fmt"
	"runtime"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// CountedCase is the name of the case that counts instead of timing.
const CountedCase = "counted"

// Count is what one request takes.
type Count struct {
	Name      string
	Operation contender.Operation
	Server    Server
	Allocs    float64 // in this process
	Bytes     float64
}

// counted takes what n requests of one client have cost from what many more of
// them have, so that neither opening nor counting counts.
func counted() Case {
	return Case{
		Name:  CountedCase,
		About: "what one request takes, as PostgreSQL and Go count it",
		Run: func(ctx context.Context, b *Bench) (result Result, err error) {
			// The first reading has its statements prepared, which is counted, too.
			if _, err := b.server(ctx); err != nil {
				return Result{}, err
			}
			for _, o := range []contender.Operation{contender.First, contender.Replay} {
				for _, c := range b.Contenders {
					if !c.In(o) {
						continue
					}
					count, err := b.count(ctx, c, o)
					if ctx.Err() != nil {
						return result, ctx.Err()
					}
					if err != nil {
						result.Missing = append(result.Missing, fmt.Sprintf("%s: %v", c.Name, err))
						continue
					}
					result.Counts = append(result.Counts, count)
				}
			}
			return result, nil
		},
	}
}

func (b *Bench) count(ctx context.Context, c contender.Contender, o contender.Operation) (Count, error) {
	few, many := 100, 2100
	if b.Quick {
		few, many = 5, 25
	}
	below, err := b.total(ctx, c, o, few)
	if err != nil {
		return Count{}, err
	}
	above, err := b.total(ctx, c, o, many)
	if err != nil {
		return Count{}, err
	}
	n := float64(many - few)
	return Count{
		Name: c.Name, Operation: o, Server: above.Server.minus(below.Server).per(n),
		Allocs: (above.Allocs - below.Allocs) / n, Bytes: (above.Bytes - below.Bytes) / n,
	}, nil
}

// total is what it takes to open a contender, to serve n requests, and to close
// it again.
func (b *Bench) total(ctx context.Context, c contender.Contender, o contender.Operation, n int) (count Count, err error) {
	before, err := b.server(ctx)
	if err != nil {
		return Count{}, err
	}
	st, err := b.open(ctx, c, Usual(o))
	if err != nil {
		return Count{}, err
	}
	err = st.serve(ctx, o, n, &count)
	st.close()
	st.close = func() {}
	defer st.end()
	if err != nil {
		return Count{}, err
	}
	after, err := b.server(ctx)
	count.Server = after.minus(before)
	return count, err
}

func (s *stage) serve(ctx context.Context, o contender.Operation, n int, count *Count) error {
	if o == contender.Replay {
		if err := s.seed(ctx, 10); err != nil {
			return err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if err := s.ask(ctx, o, s.key(o)); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	count.Allocs = float64(after.Mallocs - before.Mallocs)
	count.Bytes = float64(after.TotalAlloc - before.TotalAlloc)
	return nil
}
