package idemui

import (
	"slices"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

// outcomes are all there are, in the order of the table under the chart.
var outcomes = [...]idemtx.Outcome{
	idemtx.OutcomeFirst,
	idemtx.OutcomeReplayed,
	idemtx.OutcomeRefused,
	idemtx.OutcomeMismatch,
	idemtx.OutcomeInFlight,
	idemtx.OutcomeExpired,
	idemtx.OutcomeUnknown,
	idemtx.OutcomeFailed,
}

// tally counts calls by outcome, in the order of outcomes.
type tally [len(outcomes)]uint32

func (t *tally) of(o idemtx.Outcome) int { return int(t[index(o)]) }

func (t *tally) total() (n int) {
	for _, count := range t {
		n += int(count)
	}
	return n
}

func (t *tally) add(other tally) {
	for i, count := range other {
		t[i] += count
	}
}

// index is that of an outcome in outcomes. One that is not there is a failure of
// some kind.
func index(o idemtx.Outcome) int {
	if i := slices.Index(outcomes[:], o); i >= 0 {
		return i
	}
	return len(outcomes) - 1
}

const (
	minutesKept = 60
	secondsKept = 60 * minutesKept
)

// hour counts by the second, in a ring: a second takes the place of the one that is
// an hour older.
type hour struct {
	seconds []second // none until something is counted
}

type second struct {
	unix  int64 // which second it is: what is in the ring may be of long ago
	tally tally
}

// minute is what was counted in one minute of the clock.
type minute struct {
	start time.Time
	tally tally
}

func (h *hour) count(now time.Time, o idemtx.Outcome) {
	if h.seconds == nil {
		h.seconds = make([]second, secondsKept)
	}
	unix := now.Unix()
	s := &h.seconds[unix%secondsKept]
	if s.unix != unix {
		*s = second{unix: unix}
	}
	s.tally[index(o)]++
}

// minutes returns the minute that now is in, and the 59 before it, the oldest first.
func (h *hour) minutes(now time.Time) []minute {
	last := now.Unix() / 60
	first := last - minutesKept + 1
	all := make([]minute, minutesKept)
	for i := range all {
		all[i].start = time.Unix((first+int64(i))*60, 0)
	}
	for _, s := range h.seconds {
		if m := s.unix / 60; first <= m && m <= last {
			all[m-first].tally.add(s.tally)
		}
	}
	return all
}
