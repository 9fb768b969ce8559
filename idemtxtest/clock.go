package idemtxtest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
)

// clock finds what may be a time to the second, or a difference of two. Clean runs
// that are made at once agree on such a value, and later ones do not.
var clock = regexp.MustCompile(`\d\d:\d\d:\d\d|T\d{6}|\d{10}|^by .*\ds$`)

// mayHoldTimes tells whether a column that is compared may hold the time.
func (e *expectation) mayHoldTimes() bool {
	return slices.ContainsFunc(e.parts(), func(p part) bool {
		columns := e.compared(p)
		return slices.ContainsFunc(e.rows(p.table, p.kind), func(row image) bool {
			return slices.ContainsFunc(columns, func(column string) bool { return clock.MatchString(row[column]) })
		})
	})
}

// mayHoldTimes tells whether a place that is compared may hold the time.
func (m model) mayHoldTimes() bool {
	found := !m.isFree("(the body)") && clock.Match(m.body)
	leaves("", m.tree, func(place string, value any) {
		text, _ := json.Marshal(value)
		found = found || !m.isFree(place) && clock.Match(text)
	})
	return found
}

// leaves visits the values in a JSON value that hold no others.
func leaves(place string, tree any, visit func(place string, value any)) {
	switch x := tree.(type) {
	case map[string]any:
		for name, value := range x {
			leaves(place+"/"+pointer.Replace(name), value, visit)
		}
	case []any:
		for i, value := range x {
			leaves(place+"/"+strconv.Itoa(i), value, visit)
		}
	default:
		visit(place, x)
	}
}
