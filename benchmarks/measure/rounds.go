package measure

import (
	"context"
	"math/rand/v2"
	"time"
)

// Entrant is one who takes turns.
type Entrant struct {
	Name string
	Base string // the name of the one that it is compared with
	Kind string // for the report

	// Slice is its turn.
	Slice func(ctx context.Context, duration time.Duration) Slice
}

// Series is what became of the entrants, round by round.
type Series struct {
	Entrants []Entrant
	Slices   map[string][]Slice // by name; one a round
}

// Rounds gives each entrant one turn a round, in an order that is drawn for each
// round, until there were so many rounds or done says so. The first turn of each
// comes before the rounds and counts for nothing: it opens connections.
func Rounds(ctx context.Context, rounds int, duration time.Duration, entrants []Entrant, done func() bool) (Series, error) {
	s := Series{Entrants: entrants, Slices: make(map[string][]Slice)}
	for _, e := range entrants {
		e.Slice(ctx, duration/4)
	}
	for range rounds {
		for _, i := range rand.Perm(len(entrants)) {
			e := entrants[i]
			slice := e.Slice(ctx, duration)
			if err := ctx.Err(); err != nil {
				return s, err
			}
			s.Slices[e.Name] = append(s.Slices[e.Name], slice)
		}
		if done != nil && done() {
			break
		}
	}
	return s, nil
}

// Ratios compares two entrants in each round.
func (s Series) Ratios(name, base string, of func(Slice) float64) []float64 {
	ours, theirs := s.Slices[name], s.Slices[base]
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		if below := of(theirs[i]); below > 0 {
			ratios = append(ratios, of(ours[i])/below)
		}
	}
	return ratios
}

// Throughputs are those of an entrant.
func (s Series) Throughputs(name string) []float64 {
	var all []float64
	for _, slice := range s.Slices[name] {
		all = append(all, slice.Throughput())
	}
	return all
}

// Whole is all that an entrant did.
func (s Series) Whole(name string) Slice { return Merge(s.Slices[name]) }
