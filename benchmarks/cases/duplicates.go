package cases

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

// atOnce is how many duplicates a key has.
const atOnce = 100

// duplicates has many clients send the same new request at the same time, and
// the next one when all were answered.
func duplicates(latency time.Duration) Case {
	s := Usual(contender.First)
	s.Latency = latency
	return Case{
		Name:  "duplicates/" + milliseconds(latency),
		About: fmt.Sprintf("%d duplicates of a new key at once; what is counted are answers, compared with the %s", atOnce, floors.OneStatement),
		Run: comparison{
			setting: s,
			takes:   func(c contender.Contender) bool { return c.Only == "" },
			enter: func(_ context.Context, st *stage) (measure.Entrant, error) {
				return st.entrant(st.Name, floors.OneStatement, 1, st.burst), nil
			},
			note: func(ctx context.Context, st *stage) (string, error) { return st.effects(ctx) },
		}.run,
	}
}

// burst is all duplicates of one key.
func (s *stage) burst(ctx context.Context, r *measure.Recorder) {
	request := contender.Request{Key: unused(), Payload: s.payload}
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			r.Time(func() error {
				_, _, err := s.handle(ctx, request)
				return err
			})
		})
	}
	all.Wait()
}

// effects tells how often the work was done for a key.
func (s *stage) effects(ctx context.Context) (string, error) {
	var effects, most, keys int
	err := s.bench.Admin.QueryRow(ctx, `SELECT coalesce(sum(n), 0), coalesce(max(n), 0), count(*)
		FROM (SELECT count(*) AS n FROM `+s.env.Schema+`.effects GROUP BY key) AS per_key`).Scan(&effects, &most, &keys)
	if err != nil || keys == 0 {
		return "", err
	}
	return fmt.Sprintf("%.2f effects a key, at most %d", float64(effects)/float64(keys), most), nil
}
