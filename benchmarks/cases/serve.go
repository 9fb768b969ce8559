package cases

import (
	"context"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

// base is what an operation is compared with.
func base(o contender.Operation) string {
	if o == contender.Replay {
		return floors.BareSelect
	}
	return floors.PlainTransaction
}

// serve compares all contenders under one setting.
func serve(s Setting) Case {
	about := "requests that were never seen"
	if s.Operation == contender.Replay {
		about = "requests that were answered before"
	}
	c := Case{Name: s.Name(), About: about + ", compared with the " + base(s.Operation)}
	c.Run = func(ctx context.Context, b *Bench) (Result, error) {
		return comparison{
			setting: s,
			takes:   func(c contender.Contender) bool { return c.In(s.Operation) },
			enter: func(ctx context.Context, st *stage) (e measure.Entrant, err error) {
				if s.Operation == contender.Replay {
					err = st.seed(ctx, b.seeds(s.Reply))
				}
				return st.entrant(st.Name, base(s.Operation), s.Clients, st.once(s.Operation)), err
			},
		}.run(ctx, b)
	}
	return c
}

// seeds is how many keys are repeated: as many as have 4 MiB of replies.
func (b *Bench) seeds(reply int) int {
	if b.Quick {
		return 20
	}
	return min(1000, 4<<20/reply)
}
