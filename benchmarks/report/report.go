// Package report says what was measured, and whether that is what was promised.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
)

// Report is a run.
type Report struct {
	Command    string
	Began      time.Time
	Took       time.Duration
	Machine    Machine
	Conns      int32
	Rounds     int
	Turn       time.Duration
	Quick      bool
	Shrink     int // how many times smaller the tables were than their names say
	Contenders []contender.Contender
	Results    []cases.Result
	Plot       string // the name of the picture's file, or empty
}

// Markdown writes it.
func (r Report) Markdown(w io.Writer) {
	fmt.Fprint(w, "# Benchmarks\n\n")
	if r.Quick {
		fmt.Fprint(w, "**This was a quick run, which shows that everything works. Its figures say nothing.**\n\n")
	}
	if r.Shrink > 1 {
		fmt.Fprintf(w, "**The tables were %d times smaller than their names say.**\n\n", r.Shrink)
	}
	fmt.Fprintf(w, "    %s\n\nOn %s, in %v. %s\n",
		r.Command, r.Began.UTC().Format("2 January 2006"), r.Took.Round(time.Second), r.Machine)
	if slices.ContainsFunc(r.Results, func(result cases.Result) bool { return result.Series != nil }) {
		r.conditions(w)
		r.who(w)
	}
	r.targets(w)
	if r.Plot != "" {
		fmt.Fprintf(w, "\n![Throughput relative to the floors](%s)\n", r.Plot)
	}
	r.series(w)
	markCounts(w, r.Results)
	markSizes(w, r.Results)
	markGrowth(w, r.Results)
	r.missing(w)
}

func (r Report) conditions(w io.Writer) {
	fmt.Fprintf(w, `
Contenders take turns of %v, %d rounds of them in each case, in an order that is
drawn for each round. A ratio compares two turns of one round; the table has the
median and the quartiles of these. All have a pool of %d connections and do the same
work, one INSERT. Client, server and the proxy that makes the latency share the
machine.

`, r.Turn, r.Rounds, r.Conns)
}

// targets tells of those that a case of the run is about, if any is.
func (r Report) targets(w io.Writer) {
	targets := Targets(r.Results)
	if !slices.ContainsFunc(targets, func(t Target) bool { return t.Verdict != NotRun }) {
		return
	}
	fmt.Fprint(w, "\n## Targets\n\nMedians of the ratios in one run.\n\n")
	markTargets(w, targets)
	markObstacles(w, targets)
}

func (r Report) who(w io.Writer) {
	t := table{w: w}
	t.row("contender", "", "what it is")
	t.rule()
	for _, c := range r.Contenders {
		t.row(c.Name, string(c.Kind), c.About)
	}
}

func (r Report) series(w io.Writer) {
	var abouts []string
	for _, result := range r.Results {
		if result.Series != nil {
			abouts = append(abouts, fmt.Sprintf("- %s: %s.\n", result.Case, result.About))
		}
	}
	if abouts != nil {
		fmt.Fprintf(w, "\n## Throughput and latency\n\n%s\n", strings.Join(abouts, ""))
		markSeries(w, r.Results)
	}
}

// missing tells who was not measured, and what failed.
func (r Report) missing(w io.Writer) {
	var lines []string
	for _, result := range r.Results {
		for _, text := range result.Missing {
			lines = append(lines, fmt.Sprintf("- %s: %s was not measured", result.Case, oneLine(text)))
		}
		if result.Series == nil {
			continue
		}
		for _, e := range result.Series.Entrants {
			if whole := result.Series.Whole(e.Name); whole.Failed > 0 {
				lines = append(lines, fmt.Sprintf("- %s: %s failed %d times, at last with: %s",
					result.Case, e.Name, whole.Failed, oneLine(whole.Failure.Error())))
			}
		}
	}
	if lines != nil {
		fmt.Fprintf(w, "\n## Failures and refusals\n\n%s\n", strings.Join(lines, "\n"))
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
