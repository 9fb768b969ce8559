package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// Target is what was promised, what came of it, and what stands in the way.
type Target struct{ What, Wanted, Measured, Verdict, Obstacle string }

// The verdicts.
const (
	Met    = "met"
	Missed = "**missed**"
	NotRun = "not run"
)

// Targets judges a run.
func Targets(results []cases.Result) []Target {
	j := judge{results: results}
	j.first()
	j.replay()
	j.counted()
	j.sizes()
	j.batch()
	return j.targets
}

func markTargets(w io.Writer, targets []Target) {
	t := table{w: w}
	t.row("target", "wanted", "measured", "")
	t.rule()
	for _, target := range targets {
		t.row(target.What, target.Wanted, target.Measured, target.Verdict)
	}
}

type judge struct {
	results  []cases.Result
	targets  []Target
	obstacle string // of the targets that are added next
}

var (
	firstLoopback  = cases.Usual(contender.First)
	replayLoopback = cases.Usual(contender.Replay)
	firstFar       = far(firstLoopback)
)

func far(s cases.Setting) cases.Setting {
	s.Latency = time.Millisecond
	return s
}

func (j *judge) first() {
	j.obstacle = secondRow
	j.throughput("first request, loopback, 8 clients: Do to the plain transaction", firstLoopback.Name(), ours.Do, floors.PlainTransaction, 0.85)
	j.throughput("first request, 1 ms: Do to the plain transaction", firstFar.Name(), ours.Do, floors.PlainTransaction, 0.97)
	j.obstacle = nearPeers
	for _, s := range []cases.Setting{firstLoopback, firstFar} {
		for _, peer := range j.peers(s.Name()) {
			j.throughput("first request, "+latency(s)+": Do to "+peer, s.Name(), ours.Do, peer, 1.5)
		}
	}
}

func (j *judge) replay() {
	j.obstacle = wholeRow
	j.throughput("replay, loopback, 8 clients: Do to the bare SELECT", replayLoopback.Name(), ours.Do, floors.BareSelect, 0.85)
	for _, peer := range j.peers(replayLoopback.Name()) {
		j.throughput("replay, loopback: Do to "+peer, replayLoopback.Name(), ours.Do, peer, 1)
	}
}

func (j *judge) counted() {
	j.obstacle = ""
	var do cases.Count
	for _, r := range j.results {
		for _, c := range r.Counts {
			if c.Name == ours.Do && c.Operation == contender.First {
				do = c
			}
		}
	}
	if do.Name == "" {
		j.add("one durable commit and one row version per first request", "1 and 1", "", NotRun)
		return
	}
	one := func(f float64) bool { return math.Abs(f-1) < 0.05 }
	j.add("one durable commit and one row version per first request", "1 and 1",
		fmt.Sprintf("%.2f and %.2f", do.Server.Syncs, do.Server.RowVersions), verdict(one(do.Server.Syncs) && one(do.Server.RowVersions)))
	j.add("allocations per Do", "counted", rate(do.Allocs), Met)
}

func (j *judge) sizes() {
	j.obstacle = twoAtWork
	p99 := func(s measure.Slice) float64 { return float64(s.Percentile(99)) }
	for _, o := range []contender.Operation{contender.First, contender.Replay} {
		j.ratio("p99 of a "+string(o)+" while a million rows are swept, to that without", cases.SweepCase,
			cases.Swept(o, true), cases.Swept(o, false), p99, atMost(1.5))
	}
	j.obstacle = coldPages
	cost := func(s measure.Slice) float64 { return 1 / s.Throughput() }
	j.ratio("cost of a first request at 10 million rows, to that at 10 thousand", cases.RowsCase,
		cases.AtRows(contender.First, cases.Large), cases.AtRows(contender.First, cases.Small), cost, atMost(1.2))
}

// peers are those in a case.
func (j *judge) peers(name string) (peers []string) {
	if s := j.series(name); s != nil {
		for _, e := range s.Entrants {
			if e.Kind == string(contender.Peer) {
				peers = append(peers, e.Name)
			}
		}
	}
	return peers
}

func (j *judge) series(name string) *measure.Series {
	i := slices.IndexFunc(j.results, func(r cases.Result) bool { return r.Case == name })
	if i < 0 {
		return nil
	}
	return j.results[i].Series
}

func latency(s cases.Setting) string {
	if s.Latency == 0 {
		return "loopback"
	}
	return fmt.Sprintf("%d ms", s.Latency.Milliseconds())
}
