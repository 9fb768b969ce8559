package idemui

import (
	"strings"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

// hourData is what the overview shows of the calls of this process.
type hourData struct {
	Calls      int    // in the last hour
	Given      int    // replies, in the last hour
	Share      string // of replays among them
	LastMinute int    // calls in the last whole minute of the clock
	Groups     []groupData
	Outcomes   []string
	Minutes    []minuteData
	Top        int // calls at the chart's upper edge

	Flights  []flightData
	InFlight int // with those that are not among Flights

	Swept *sweep // nil when this process has not swept
}

// groupData is a colour of the chart.
type groupData struct {
	Class, Name string
	Calls       int
}

// minuteData is a column of both charts and a line of the table.
type minuteData struct {
	Start    time.Time
	Counts   []int // in the order of hourData.Outcomes
	Calls    int
	Share    string
	Bars     []bar
	ShareBar *bar // nil when nothing could have been replayed
}

// bar is a rectangle of a chart that is one unit wide for each minute, and 100 high.
type bar struct {
	Class     string
	X         int
	Y, Height float64
}

// group is what the chart draws alike.
type group struct {
	class, name string
	outcomes    []idemtx.Outcome
}

// groups from the bottom of the chart upward.
var groups = []group{
	{"first", "First runs", []idemtx.Outcome{idemtx.OutcomeFirst}},
	{"replayed", "Replays", []idemtx.Outcome{idemtx.OutcomeReplayed}},
	{"refused", "Refused by the handler", []idemtx.Outcome{idemtx.OutcomeRefused}},
	{"turned", "Turned away", []idemtx.Outcome{idemtx.OutcomeMismatch, idemtx.OutcomeInFlight, idemtx.OutcomeExpired}},
	{"failed", "Failed or unknown", []idemtx.Outcome{idemtx.OutcomeUnknown, idemtx.OutcomeFailed}},
}

func (g group) of(t tally) (n int) {
	for _, o := range g.outcomes {
		n += t.of(o)
	}
	return n
}

// answered is how many calls got a reply. What was replayed is a share of them.
func answered(t tally) int {
	return t.of(idemtx.OutcomeFirst) + t.of(idemtx.OutcomeReplayed) + t.of(idemtx.OutcomeRefused)
}

func (h *Handler) hourData(now time.Time) *hourData {
	minutes := h.recorder.lastHour(now)
	d := &hourData{LastMinute: minutes[len(minutes)-2].tally.total(), Swept: h.recorder.lastSweep()}
	var all tally
	for _, m := range minutes {
		all.add(m.tally)
		d.Top = max(d.Top, m.tally.total())
	}
	d.Top = roundUp(d.Top)
	d.Calls = all.total()
	d.Given = answered(all)
	d.Share = percent(all.of(idemtx.OutcomeReplayed), d.Given)
	for _, o := range outcomes {
		d.Outcomes = append(d.Outcomes, strings.ReplaceAll(string(o), "_", " "))
	}
	for _, g := range groups {
		d.Groups = append(d.Groups, groupData{g.class, g.name, g.of(all)})
	}
	for i, m := range minutes {
		d.Minutes = append(d.Minutes, column(i, m, d.Top))
	}
	d.flights(h)
	return d
}

// column draws a minute as the i-th of the charts.
func column(i int, m minute, top int) minuteData {
	data := minuteData{Start: m.start, Calls: m.tally.total(), Share: "–"}
	for _, count := range m.tally {
		data.Counts = append(data.Counts, int(count))
	}
	below := 0.0
	for _, g := range groups {
		if n := g.of(m.tally); n > 0 {
			height := 100 * float64(n) / float64(top)
			below += height
			data.Bars = append(data.Bars, bar{Class: g.class, X: i, Y: 100 - below, Height: height})
		}
	}
	if n := answered(m.tally); n > 0 {
		replayed := m.tally.of(idemtx.OutcomeReplayed)
		data.Share = percent(replayed, n)
		height := 100 * float64(replayed) / float64(n)
		data.ShareBar = &bar{Class: "replayed", X: i, Y: 100 - height, Height: height}
	}
	return data
}

// roundUp returns the upper edge of a chart: a round number that is no less than n.
func roundUp(n int) int {
	for power := 1; ; power *= 10 {
		for _, digit := range []int{1, 2, 4, 5, 6, 8} {
			if digit*power >= n && (digit*power)%2 == 0 {
				return digit * power
			}
		}
	}
}

// flightData is a call of this process that has not ended.
type flightData struct {
	Mode      idemtx.Mode
	LogID     string
	Scope     string // as it was made, when Config.ShowScopes
	Operation string
	Key       string // redacted
	Since     time.Time
}

func (d *hourData) flights(h *Handler) {
	oldest, all := h.recorder.inFlight(maxListed)
	d.InFlight = all
	for _, f := range oldest {
		data := flightData{Mode: f.mode, LogID: f.scope.LogID(), Operation: f.operation, Key: f.key, Since: f.since}
		if h.config.ShowScopes {
			data.Scope = parts(f.scope)
		}
		d.Flights = append(d.Flights, data)
	}
}

// Unlisted is how many calls the page has no room for.
func (d *hourData) Unlisted() int { return d.InFlight - len(d.Flights) }

// Half is what the line in the middle of the chart stands for.
func (d *hourData) Half() int { return d.Top / 2 }

// From is the chart's first minute.
func (d *hourData) From() time.Time { return d.Minutes[0].Start }

// Middle is the minute right of the chart's middle.
func (d *hourData) Middle() time.Time { return d.Minutes[len(d.Minutes)/2].Start }

// To is the chart's last minute, which has not ended.
func (d *hourData) To() time.Time { return d.Minutes[len(d.Minutes)-1].Start }
