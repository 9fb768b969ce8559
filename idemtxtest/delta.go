package idemtxtest

import (
	"maps"
	"slices"
	"strings"
)

// kind is what became of a row.
type kind int

const (
	inserted kind = iota
	updated
	deleted
)

var kinds = []kind{inserted, updated, deleted}

func (k kind) String() string { return [...]string{"inserted", "updated", "deleted"}[k] }

// image is what is compared of one row that has changed: its values by column.
type image map[string]string

// changes are the rows of one table that have changed.
type changes struct {
	rows     [3][]image // by kind
	external bool
}

// delta is what has changed between two snapshots. It holds only the tables that
// have.
type delta map[string]*changes

// names are the tables', in order.
func (d delta) names() []string { return slices.Sorted(maps.Keys(d)) }

// rows are those of a table, which may have no changes.
func (d delta) rows(name string, k kind) []image {
	if c := d[name]; c != nil {
		return c.rows[k]
	}
	return nil
}

func between(before, after snapshot) delta {
	d := delta{}
	for name, t := range after {
		old := before[name]
		if old == nil {
			old = &table{} // it was created
		}
		if c := t.since(old); c != nil {
			d[name] = c
		}
	}
	for name, t := range before {
		if after[name] == nil && len(t.rows) > 0 { // it was dropped
			d[name] = (&table{external: t.external}).since(t)
		}
	}
	return d
}

// since finds what has changed in a table, or nil. Two rows with one key are one
// that was updated.
func (t *table) since(old *table) *changes {
	gone, come := surplus(old.rows, t.rows), surplus(t.rows, old.rows)
	if len(gone)+len(come) == 0 {
		return nil
	}
	c := &changes{external: t.external}
	before := t.byKey(gone)
	after := t.byKey(come)
	for _, row := range come {
		k := t.keyOf(row)
		if len(before[k]) == 1 && len(after[k]) == 1 {
			c.rows[updated] = append(c.rows[updated], t.change(before[k][0], row))
		} else {
			c.rows[inserted] = append(c.rows[inserted], row)
		}
	}
	for _, row := range gone {
		if k := t.keyOf(row); len(before[k]) != 1 || len(after[k]) != 1 {
			c.rows[deleted] = append(c.rows[deleted], row)
		}
	}
	return c
}

// surplus are the rows that a has and b has not, or has less often.
func surplus(a, b map[string]int) []image {
	var rows []image
	for row, n := range a {
		for range n - b[row] {
			rows = append(rows, columns(row))
		}
	}
	return rows
}

func (t *table) byKey(rows []image) map[string][]image {
	m := make(map[string][]image)
	for _, row := range rows {
		m[t.keyOf(row)] = append(m[t.keyOf(row)], row)
	}
	return m
}

// keyOf tells the rows of a table apart. Without a key they are all one, so that
// a row that changes alone is still seen as an update.
func (t *table) keyOf(row image) string {
	values := make([]string, len(t.key))
	for i, column := range t.key {
		values[i] = row[column]
	}
	return strings.Join(values, "\x00")
}

// change is what is compared of an update. What can be subtracted is: an account
// that is charged by 10 in each run never holds twice the same, and a run that
// charges it by 20 must not look like another.
func (t *table) change(old, row image) image {
	c := maps.Clone(row)
	for column, value := range row {
		if !slices.Contains(t.key, column) {
			c[column] = difference(old[column], value, t.floats[column])
		}
	}
	return c
}
