package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/measure"
)

// table is one of Markdown.
type table struct {
	w       io.Writer
	columns int
}

func (t *table) row(cells ...string) {
	t.columns = len(cells)
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	fmt.Fprintf(t.w, "| %s |\n", strings.Join(cells, " | "))
}

// rule goes under the first row.
func (t *table) rule() {
	fmt.Fprintf(t.w, "|%s\n", strings.Repeat(" --- |", t.columns))
}

// markSeries is the table of all turns.
func markSeries(w io.Writer, results []cases.Result) {
	t := table{w: w}
	t.row("case", "contender", "", "ratio", "quartiles", "per second", "p50", "p99", "failed", "")
	t.rule()
	for _, result := range results {
		if result.Series == nil {
			continue
		}
		for _, e := range ranked(*result.Series) {
			ratio := measure.SpreadOf(result.Series.Ratios(e.Name, e.Base, measure.Slice.Throughput))
			whole := result.Series.Whole(e.Name)
			t.row(result.Case, e.Name, e.Kind, number(ratio.Median), number(ratio.Lower)+" to "+number(ratio.Upper),
				rate(measure.SpreadOf(result.Series.Throughputs(e.Name)).Median),
				duration(whole.Percentile(50)), duration(whole.Percentile(99)), count(whole.Failed), result.Notes[e.Name])
		}
	}
}

// ranked is the fastest first.
func ranked(s measure.Series) []measure.Entrant {
	median := func(e measure.Entrant) float64 {
		return measure.SpreadOf(s.Ratios(e.Name, e.Base, measure.Slice.Throughput)).Median
	}
	return slices.SortedStableFunc(slices.Values(s.Entrants), func(a, b measure.Entrant) int {
		return cmp.Compare(median(b), median(a))
	})
}

func markCounts(w io.Writer, results []cases.Result) {
	i := slices.IndexFunc(results, func(r cases.Result) bool { return r.Counts != nil })
	if i < 0 {
		return
	}
	fmt.Fprint(w, `
## What one request takes

Counted with one client, the cost of opening taken off: statements by
pg_stat_statements, commits by pg_stat_database (those that wrote nothing, too), syncs and
bytes of the WAL by pg_stat_wal, row versions beside the effect's by
pg_stat_user_tables, allocations by Go. With one client a durable commit is one sync.

`)
	t := table{w: w}
	t.row("operation", "contender", "statements", "commits", "WAL syncs", "row versions", "WAL bytes", "allocations", "allocated bytes")
	t.rule()
	for _, c := range results[i].Counts {
		t.row(string(c.Operation), c.Name, number(c.Server.Statements), number(c.Server.Commits), number(c.Server.Syncs),
			number(c.Server.RowVersions), rate(c.Server.WAL), rate(c.Allocs), rate(c.Bytes))
	}
}

func markSizes(w io.Writer, results []cases.Result) {
	i := slices.IndexFunc(results, func(r cases.Result) bool { return r.Sizes != nil })
	if i < 0 {
		return
	}
	fmt.Fprint(w, `
## What one key takes

Bytes, of a reply that does not compress: on the disk by the size of relations, in the WAL
by its length, less what the work's own transaction writes.

`)
	t := table{w: w}
	t.row("reply", "table", "TOAST", "primary key", "index on expires_at", "WAL")
	t.rule()
	for _, s := range results[i].Sizes {
		t.row(fmt.Sprint(s.Reply), rate(s.Table), rate(s.Toast), rate(s.PrimaryKey), rate(s.Index), rate(s.WAL))
	}
}

// growthRows is how many rows that table has at most, or a few more.
const growthRows = 40

func markGrowth(w io.Writer, results []cases.Result) {
	for _, result := range results {
		if result.Growths == nil {
			continue
		}
		fmt.Fprintf(w, "\n## Size over time\n\n%s.\n", result.About)
		for _, growth := range result.Growths {
			fmt.Fprintf(w, "\n### %s\n\n", growth.Name)
			markSizesOverTime(w, growth.Sizes)
		}
	}
}

func markSizesOverTime(w io.Writer, sizes []cases.Size) {
	t := table{w: w}
	t.row("after", "requests", "table", "indexes", "live rows", "dead rows", "vacuums")
	t.rule()
	step := 1 + len(sizes)/growthRows
	for i, s := range sizes {
		if i%step == 0 || i == len(sizes)-1 {
			t.row(s.After.Round(time.Second).String(), fmt.Sprint(s.Requests), megabytes(s.Table), megabytes(s.Index),
				fmt.Sprint(s.Live), fmt.Sprint(s.Dead), fmt.Sprint(s.Vacuums))
		}
	}
}

func number(f float64) string {
	if math.IsNaN(f) {
		return ""
	}
	return fmt.Sprintf("%.2f", max(0, f)+0) // no -0.00
}

func rate(f float64) string {
	switch {
	case math.IsNaN(f):
		return ""
	case f < 10:
		return fmt.Sprintf("%.1f", max(0, f))
	}
	return fmt.Sprintf("%.0f", f)
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// duration has three digits.
func duration(d time.Duration) string {
	for unit := time.Duration(1); unit < time.Minute; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.String()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
