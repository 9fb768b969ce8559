package idemui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/idemtx/idemtx/idemtx"
)

var noon = time.Date(2026, 3, 1, 12, 0, 59, 0, time.UTC)

func TestHourCountsByTheMinute(t *testing.T) {
	t.Parallel()
	var h hour
	for _, at := range []time.Time{
		noon, noon.Add(-59 * time.Second), // of the last minute
		noon.Add(-60 * time.Second),   // of the one before
		noon.Add(-3599 * time.Second), // of the first
	} {
		h.count(at, idemtx.OutcomeReplayed)
	}
	minutes := h.minutes(noon)
	assert.Len(t, minutes, minutesKept)
	assert.True(t, noon.Truncate(time.Minute).Equal(minutes[59].start))
	counts := map[int]int{}
	for i, m := range minutes {
		if n := m.tally.of(idemtx.OutcomeReplayed); n > 0 {
			counts[i] = n
		}
	}
	assert.Equal(t, map[int]int{0: 1, 58: 1, 59: 2}, counts)
}

func TestHourForgets(t *testing.T) {
	t.Parallel()
	var h hour
	h.count(noon, idemtx.OutcomeFirst)
	h.count(noon.Add(time.Hour), idemtx.OutcomeFailed) // in the same place of the ring
	minutes := h.minutes(noon.Add(time.Hour))
	assert.Equal(t, 1, minutes[59].tally.total())
	assert.Equal(t, 1, minutes[59].tally.of(idemtx.OutcomeFailed))

	for _, m := range h.minutes(noon.Add(3 * time.Hour)) {
		assert.Zero(t, m.tally.total(), "a call of hours ago")
	}
}

// A clock that is set back must not show counts of what is to come.
func TestHourWithAClockSetBack(t *testing.T) {
	t.Parallel()
	var h hour
	h.count(noon, idemtx.OutcomeFirst)
	for _, m := range h.minutes(noon.Add(-10 * time.Minute)) {
		assert.Zero(t, m.tally.total())
	}
}

func TestTheChartHasRoundEdges(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 2, 1: 2, 2: 2, 3: 4, 5: 6, 7: 8, 9: 10, 11: 20, 35: 40, 41: 50, 99: 100, 101: 200, 8001: 10000} {
		assert.Equal(t, want, roundUp(n), n)
	}
}

func TestTheChartStacksWhatItCounts(t *testing.T) {
	t.Parallel()
	var m minute
	m.tally[index(idemtx.OutcomeFirst)] = 2
	m.tally[index(idemtx.OutcomeReplayed)] = 1
	m.tally[index(idemtx.OutcomeInFlight)] = 1
	c := column(7, m, 4)
	assert.Equal(t, []bar{{"first", 7, 50, 50}, {"replayed", 7, 25, 25}, {"turned", 7, 0, 25}}, c.Bars)
	assert.Equal(t, "33 %", c.Share, "of the replies given, not of the calls")
	assert.InDelta(t, 100.0/3, c.ShareBar.Height, 0.001)

	assert.Nil(t, column(0, minute{}, 4).ShareBar)
}

// What is counted is drawn: no outcome is in no group, or in two.
func TestEveryOutcomeHasAColour(t *testing.T) {
	t.Parallel()
	var drawn []idemtx.Outcome
	for _, g := range groups {
		drawn = append(drawn, g.outcomes...)
	}
	assert.ElementsMatch(t, outcomes, drawn)
}
