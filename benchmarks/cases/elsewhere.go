package cases

import (
	"context"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// elsewhere repeats requests that another process has answered, so that idemtx
// has no reason to take them for replays. There are so many that hardly any comes
// twice.
func elsewhere() Case {
	return Case{
		Name:  "replay/elsewhere",
		About: "Do for requests that another process has answered, from a million of them, compared with a bare SELECT of the same row",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			st, err := b.openOurs(ctx)
			if err != nil {
				return Result{}, err
			}
			defer st.end()
			n := Middle / b.Shrink
			if err := st.fill(ctx, "elsewhere", n, "1 day"); err != nil {
				return Result{}, err
			}
			look, done, err := ours.OpenSelect(ctx, st.env)
			if err != nil {
				return Result{}, err
			}
			defer done()
			floor := *st
			floor.handle, floor.Kind = look, contender.Floor
			var entrants []measure.Entrant
			for name, s := range map[string]*stage{ours.Do: st, floors.BareSelect: &floor} {
				entrants = append(entrants, s.entrant(name, floors.BareSelect, Usual(contender.Replay).Clients, s.known("elsewhere", n)))
			}
			b.calm(ctx)
			series, err := measure.Rounds(ctx, b.Rounds, b.Turn, entrants, nil)
			return Result{Series: &series}, err
		},
	}
}
