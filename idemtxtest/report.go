package idemtxtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// places is how many places of one failure are named.
const places = 4

// report gathers what is wrong, so that what is wrong in the same way in many
// places is told once.
type report struct {
	mu     sync.Mutex
	lines  []string
	places map[string][]string // by line
}

// add adds what is wrong in a place, a line for each thing.
func (r *report) add(lines []string, place string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.places == nil {
		r.places = make(map[string][]string)
	}
	for _, line := range lines {
		if _, known := r.places[line]; !known {
			r.lines = append(r.lines, line)
		}
		r.places[line] = append(r.places[line], place)
	}
}

// tell fails the test for each thing that is wrong, and returns whether there is
// any.
func (r *report) tell(tb testing.TB) bool {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		at := r.places[line]
		more := ""
		if len(at) > places {
			more = fmt.Sprintf("\n\tand %d more", len(at)-places)
			at = at[:places]
		}
		tb.Errorf("idemtxtest: %s\n\t%s%s", line, strings.Join(at, "\n\t"), more)
	}
	return len(r.lines) > 0
}
