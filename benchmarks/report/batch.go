package report

import (
	"fmt"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// million is the order of magnitude that a replay from the cache is to have: what
// is nearer to it than to a hundred thousand.
const million = 316_228

// batch is the targets of what goes beyond the plain transaction.
func (j *judge) batch() {
	j.obstacle = sameWork
	j.throughput("first request, loopback: DoBatch to the plain transaction", firstLoopback.Name(), ours.DoBatch, floors.PlainTransaction, 1.1)
	j.obstacle = sameCores
	j.throughput("first request, 1 ms: DoBatch to the plain transaction", firstFar.Name(), ours.DoBatch, floors.PlainTransaction, 2.5)
	j.obstacle = noQuestion
	one := cases.Usual(contender.Replay)
	one.Clients = 1
	const what, wanted = "replays per second from the cache, one client on one core", "order of a million"
	series := j.series(one.Name())
	if series == nil || series.Slices[ours.Cached] == nil {
		j.add(what, wanted, "", NotRun)
		return
	}
	median := measure.SpreadOf(series.Throughputs(ours.Cached)).Median
	j.add(what, wanted, fmt.Sprintf("%.0f", median), verdict(median >= million))
}
