package cases

import (
	"context"
	"fmt"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

// comparison is a case in which contenders take turns.
type comparison struct {
	setting Setting
	takes   func(contender.Contender) bool
	enter   func(context.Context, *stage) (measure.Entrant, error)
	note    func(context.Context, *stage) (string, error) // a last look; may be nil
}

func (c comparison) run(ctx context.Context, b *Bench) (Result, error) {
	var result Result
	var stages []*stage
	var entrants []measure.Entrant
	defer func() {
		for _, st := range stages {
			st.end()
		}
	}()
	for _, who := range b.Contenders {
		if !c.takes(who) {
			continue
		}
		st, err := b.open(ctx, who, c.setting)
		if err == nil {
			stages = append(stages, st)
			var e measure.Entrant
			if e, err = c.enter(ctx, st); err == nil {
				entrants = append(entrants, e)
			}
		}
		if err != nil {
			result.Missing = append(result.Missing, fmt.Sprintf("%s: %v", who.Name, err))
		}
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
	}
	b.calm(ctx)
	series, err := measure.Rounds(ctx, b.Rounds, b.Turn, entrants, nil)
	result.Series = &series
	if err == nil && c.note != nil {
		result.Notes, err = c.notes(ctx, stages)
	}
	return result, err
}

func (c comparison) notes(ctx context.Context, stages []*stage) (map[string]string, error) {
	all := make(map[string]string)
	for _, st := range stages {
		text, err := c.note(ctx, st)
		if err != nil {
			return nil, err
		}
		all[st.Name] = text
	}
	return all, nil
}
