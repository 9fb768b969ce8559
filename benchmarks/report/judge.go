package report

import (
	"fmt"
	"math"

	"github.com/idemtx/idemtx/benchmarks/measure"
)

// bound is what is wanted of a ratio.
type bound struct {
	text string
	met  func(float64) bool
}

func atLeast(want float64) bound {
	return bound{fmt.Sprintf("at least %.2f", want), func(f float64) bool { return f >= want }}
}

func atMost(want float64) bound {
	return bound{fmt.Sprintf("at most %.2f", want), func(f float64) bool { return f <= want }}
}

// throughput is a target on that of two entrants.
func (j *judge) throughput(what, name, ours, theirs string, want float64) {
	j.ratio(what, name, ours, theirs, measure.Slice.Throughput, atLeast(want))
}

// ratio is a target on the median of the ratios of two entrants.
func (j *judge) ratio(what, name, ours, theirs string, of func(measure.Slice) float64, want bound) {
	series := j.series(name)
	if series == nil {
		j.add(what, want.text, "", NotRun)
		return
	}
	spread := measure.SpreadOf(series.Ratios(ours, theirs, of))
	if math.IsNaN(spread.Median) {
		j.add(what, want.text, "", NotRun)
		return
	}
	j.add(what, want.text, fmt.Sprintf("%.2f (%.2f to %.2f)", spread.Median, spread.Lower, spread.Upper), verdict(want.met(spread.Median)))
}

func (j *judge) add(what, wanted, measured, verdict string) {
	j.targets = append(j.targets, Target{what, wanted, measured, verdict, j.obstacle})
}

func verdict(met bool) string {
	if met {
		return Met
	}
	return Missed
}
