package crash

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

var update = flag.Bool("update", false, "write CRASHES.md")

// TestTable keeps CRASHES.md and the rows from telling two stories.
func TestTable(t *testing.T) {
	t.Parallel()
	const file = "../../CRASHES.md"
	want := document()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "write it with: go test ./integration/crash -run TestTable -update")
}

// document is what CRASHES.md holds.
func document() string {
	var text strings.Builder
	fmt.Fprintf(&text, documentHead, len(points()), rowCount())
	for _, mode := range []idemtx.Mode{idemtx.ModeDo, idemtx.ModeDoBatch, idemtx.ModeDoTx, idemtx.ModeDoPool} {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", mode, about[mode])
		for i, w := range ways {
			if w.mode != mode {
				continue
			}
			if w.name != "" {
				fmt.Fprintf(&text, "\n### %s\n\n%s\n", w.title(), w.about)
			}
			text.WriteString("\n" + tableHead)
			told := ""
			for _, l := range lines(i) {
				where := l.where()
				if where == told {
					where = ""
				} else {
					told = where
				}
				text.WriteString(l.row(where))
			}
		}
	}
	return text.String()
}

// rowCount is how many rows the matrix has, each of which is a test.
func rowCount() (n int) {
	for _, v := range matrix {
		n += len(v.trials())
	}
	return n
}

// line is points at which the same deaths have the same outcome.
type line struct {
	points []point
	deaths []death
	all    bool // no other death can come to these points
	outcome
}

// lines are those of a way. Points that follow each other share theirs if they
// have all in common.
func lines(way int) []line {
	var all, last []line
	for _, p := range points() {
		if p.way != way {
			continue
		}
		next := linesOf(p)
		if !slices.EqualFunc(last, next, line.same) {
			all = append(all, last...)
			last = next
			continue
		}
		for i := range last {
			last[i].points = append(last[i].points, p)
		}
	}
	return append(all, last...)
}

func linesOf(p point) []line {
	var all []line
	for d := process; d <= serverAway; d++ {
		if !p.meets(d) {
			continue
		}
		o := p.expect(d)
		i := slices.IndexFunc(all, func(l line) bool { return l.outcome == o })
		if i < 0 {
			all, i = append(all, line{points: []point{p}, outcome: o}), len(all)
		}
		all[i].deaths = append(all[i].deaths, d)
	}
	all[0].all = len(all) == 1
	return all
}

func (l line) same(other line) bool {
	return l.outcome == other.outcome && slices.Equal(l.deaths, other.deaths)
}

const tableHead = "| step | what dies | effects | kept | the caller is told | the retry | effects in the end |\n" +
	"|---|---|---|---|---|---|---|\n"

// row is the line with where it begins, which is empty below a line of the same
// points.
func (l line) row(where string) string {
	dies := "any"
	if !l.all {
		var names []string
		for _, d := range l.deaths {
			names = append(names, inTable[d])
		}
		dies = strings.Join(names, ", ")
	}
	again, total := string(l.again), fmt.Sprint(l.total)
	switch {
	case l.again == theReply:
		again = "gets the reply"
	case l.left.kept == claim:
		again += ", once the lease has ended"
	}
	if l.total > 1 {
		total = "**" + total + "**"
	}
	keeps := string(l.left.kept)
	if keeps == "" {
		keeps = "nothing"
	}
	return fmt.Sprintf("| %s | %s | %d | %s | %s | %s | %s |\n",
		where, dies, l.left.effects, keeps, l.told, again, total)
}

// where names the points, those of one step together.
func (l line) where() string {
	var steps []string
	for i, p := range l.points {
		if i > 0 && l.points[i-1].step == p.step {
			steps[len(steps)-1] += ", " + shortly[p.moment]
			continue
		}
		name := shortly[p.moment]
		if !p.over() {
			name = p.of().steps[p.step].name + ": " + name
		}
		steps = append(steps, name)
	}
	return strings.Join(steps, "<br>")
}

var shortly = map[moment]string{
	before: "before", looking: "at the look", working: "at it", committing: "at COMMIT", answered: "answered",
	afterwards: "when the caller has been told",
}

var inTable = map[death]string{
	process: "process", backend: "backend", connection: "connection",
	serverBack: "server, back in time", serverAway: "server, away",
}
