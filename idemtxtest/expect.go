package idemtxtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// part is the rows of one table to which one thing has happened.
type part struct {
	table string
	kind  kind
}

// expectation is the effects of one clean run, and what of them differs from one
// clean run to another.
type expectation struct {
	delta
	free  map[part]map[string]bool // columns whose values are not compared
	loose map[part]bool            // parts of which the rows are counted and nothing else
}

// learn compares clean runs with each other. What differs between them cannot be
// compared: numbers from a sequence, times, generated identifiers. The number of
// rows must not differ.
func learn(runs ...delta) (*expectation, []string) {
	e := &expectation{delta: runs[0], free: make(map[part]map[string]bool), loose: make(map[part]bool)}
	var differences []string
	for _, run := range runs[1:] {
		differences = append(differences, counted(run, e.delta, "another clean run")...)
	}
	if differences != nil {
		return nil, differences
	}
	for _, p := range e.parts() {
		e.free[p] = make(map[string]bool)
		first := runs[0].rows(p.table, p.kind)
		for _, run := range runs[1:] {
			for _, column := range differing(run.rows(p.table, p.kind), first) {
				e.free[p][column] = true
			}
		}
		for _, run := range runs[1:] {
			e.loose[p] = e.loose[p] || !e.same(p, run.rows(p.table, p.kind))
		}
	}
	return e, nil
}

// parts are the parts that have rows.
func (d delta) parts() []part {
	var parts []part
	for _, name := range d.names() {
		for _, k := range kinds {
			if len(d[name].rows[k]) > 0 {
				parts = append(parts, part{name, k})
			}
		}
	}
	return parts
}

// compare says how a run's effects differ from those expected.
func (e *expectation) compare(run delta) []string {
	if differences := counted(run, e.delta, "one clean run"); differences != nil {
		return differences
	}
	var differences []string
	for _, p := range e.parts() {
		rows := run.rows(p.table, p.kind)
		if e.loose[p] || e.same(p, rows) {
			continue
		}
		where := "the combination of " + strings.Join(e.compared(p), ", ")
		columns := slices.DeleteFunc(differing(rows, e.rows(p.table, p.kind)),
			func(column string) bool { return e.free[p][column] })
		if len(columns) > 0 {
			where = strings.Join(columns, ", ")
		}
		differences = append(differences, fmt.Sprintf("%s: the rows %s differ in %s", p.table, p.kind, where))
	}
	return differences
}

// same tells whether rows are those expected in all columns that are compared.
func (e *expectation) same(p part, rows []image) bool {
	return maps.Equal(tally(rows, e.compared(p)), tally(e.rows(p.table, p.kind), e.compared(p)))
}

// compared are the columns of a part that are compared.
func (e *expectation) compared(p part) []string {
	return slices.DeleteFunc(columnsOf(e.rows(p.table, p.kind)), func(column string) bool { return e.free[p][column] })
}

// counted says where two deltas have another number of rows.
func counted(run, other delta, whose string) []string {
	var differences []string
	names := slices.Concat(run.names(), other.names())
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, k := range kinds {
			if n, m := len(run.rows(name, k)), len(other.rows(name, k)); n != m {
				differences = append(differences, fmt.Sprintf("%s: %s %s, where %s has %d", name, plural(n, "row"), k, whose, m))
			}
		}
	}
	return differences
}

// founds tells whether a run differs from a later one by no more than that it has
// inserted rows which the later one updates, as the first upsert of a counter does.
func founds(first, later delta) bool {
	founded := false
	for _, name := range slices.Concat(first.names(), later.names()) {
		more := len(first.rows(name, inserted)) - len(later.rows(name, inserted))
		if more < 0 || more != len(later.rows(name, updated))-len(first.rows(name, updated)) ||
			len(first.rows(name, deleted)) != len(later.rows(name, deleted)) {
			return false
		}
		founded = founded || more > 0
	}
	return founded
}

// differing are the columns that do not hold the same values in a as in b,
// whatever row they are in.
func differing(a, b []image) []string {
	return slices.DeleteFunc(columnsOf(slices.Concat(a, b)), func(column string) bool {
		one := []string{column}
		return maps.Equal(tally(a, one), tally(b, one))
	})
}

func columnsOf(rows []image) []string {
	all := make(map[string]bool)
	for _, row := range rows {
		for column := range row {
			all[column] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// tally counts the rows that are alike in columns.
func tally(rows []image, columns []string) map[string]int {
	m := make(map[string]int)
	for _, row := range rows {
		var text strings.Builder
		for _, column := range columns {
			value, ok := row[column]
			fmt.Fprintf(&text, "%t %q ", ok, value)
		}
		m[text.String()]++
	}
	return m
}

// left says in words what a transaction that was undone has left behind, or would.
// Effects outside of the database are not of the transaction.
func left(d delta) []string {
	var lines []string
	for _, p := range d.parts() {
		if d[p.table].external {
			continue
		}
		n := plural(len(d[p.table].rows[p.kind]), "row")
		what := [...]string{"%s has %s more", "in %s, %s changed", "%s has %s less"}[p.kind]
		lines = append(lines, fmt.Sprintf("the handler writes outside its transaction: "+what, p.table, n))
	}
	return lines
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
