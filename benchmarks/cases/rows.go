package cases

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// Sizes of the tables, in rows.
const (
	Small  = 10_000
	Middle = 1_000_000
	Large  = 10_000_000
)

// RowsCase is the name of the case whose entrants AtRows names.
const RowsCase = "rows"

// AtRows is the name of an entrant.
func AtRows(o contender.Operation, n int) string { return fmt.Sprintf("Do, %s, %d rows", o, n) }

// rows compares tables of different sizes with the smallest. All of them are
// there at the same time, and written out before the first round: what follows
// is the part of a checkpoint's interval in which most pages are written whole.
func rows() Case {
	return Case{
		Name:  RowsCase,
		About: "the same requests to tables that hold more and more replies, compared with the smallest, all right after a checkpoint",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			stages := make(map[int]*stage)
			defer func() {
				for _, st := range stages {
					st.end()
				}
			}()
			var entrants []measure.Entrant
			notes := make(map[string]func() string)
			for _, n := range []int{Small, Middle, Large} {
				st, err := b.openOurs(ctx)
				if err != nil {
					return Result{}, err
				}
				stages[n] = st
				filled := n / b.Shrink
				if err := st.fill(ctx, "live", filled, "1 day"); err != nil {
					return Result{}, err
				}
				add := func(o contender.Operation, turn func(context.Context, *measure.Recorder)) {
					e, note := b.weighed(st.entrant(AtRows(o, n), AtRows(o, Small), Usual(o).Clients, turn))
					entrants, notes[e.Name] = append(entrants, e), note
				}
				add(contender.First, st.once(contender.First))
				// As many keys at each size, or the smallest is the best known.
				add(contender.Replay, st.known("live", min(filled, Small)))
			}
			b.calm(ctx)
			series, err := measure.Rounds(ctx, b.Rounds, b.Turn, entrants, nil)
			result := Result{Series: &series, Notes: make(map[string]string)}
			for name, note := range notes {
				result.Notes[name] = note()
			}
			return result, err
		},
	}
}

// openOurs opens Do on a table of its own.
func (b *Bench) openOurs(ctx context.Context) (*stage, error) {
	for _, c := range ours.All() {
		if c.Name == ours.Do {
			return b.open(ctx, c, Usual(contender.First))
		}
	}
	panic("there is no " + ours.Do)
}

// fill puts rows into the table, and leaves it as autovacuum would in the end.
func (s *stage) fill(ctx context.Context, prefix string, n int, expire string) error {
	s.bench.Log("  %d rows that expire in %s", n, expire)
	if err := ours.Fill(ctx, s.bench.Admin, s.env, s.payload, prefix, n, expire); err != nil {
		return err
	}
	return s.bench.exec(ctx, "VACUUM (ANALYZE) "+ours.Table(s.env))
}

// known repeats requests with the first n keys of fill.
func (s *stage) known(prefix string, n int) func(context.Context, *measure.Recorder) {
	return func(ctx context.Context, r *measure.Recorder) {
		key := ours.Key(prefix, 1+rand.IntN(n))
		r.Time(func() error { return s.ask(ctx, contender.Replay, key) })
	}
}
