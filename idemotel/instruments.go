package idemotel

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

// instruments are what is measured with. None has a name or a unit that another place
// repeats but the documentation and docs/grafana.json, which are tested against them.
type instruments struct {
	calls           metric.Int64Counter
	active          metric.Int64UpDownCounter
	callDuration    metric.Float64Histogram
	handlerDuration metric.Float64Histogram
	storeDuration   metric.Float64Histogram
	waitDuration    metric.Float64Histogram
	attempts        metric.Int64Counter
	retries         metric.Int64Counter
	lostCommits     metric.Int64Counter
	takeovers       metric.Int64Counter

	sweeps        metric.Int64Counter
	sweepDuration metric.Float64Histogram
	sweepRows     metric.Int64Counter
}

func newInstruments(meter metric.Meter) (instruments, error) {
	m := &maker{meter: meter}
	active, err := meter.Int64UpDownCounter("idemtx.active_calls",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that have not ended."))
	m.note(err)
	made := instruments{
		calls:           m.counter("idemtx.calls", "{call}", "Calls that have ended."),
		active:          active,
		callDuration:    m.duration("idemtx.call.duration", "How long calls took."),
		handlerDuration: m.duration("idemtx.handler.duration", "How long all runs of a call's handler took, where it ran."),
		storeDuration:   m.duration("idemtx.store.duration", "How long calls took, less the handler and less the wait."),
		waitDuration:    m.duration("idemtx.wait.duration", "How long calls waited for another request with their key, where there was one."),
		attempts:        m.counter("idemtx.attempts", "{attempt}", "Runs of handlers."),
		retries:         m.counter("idemtx.retries", "{retry}", "Runs of handlers after the first of a call."),
		lostCommits:     m.counter("idemtx.lost_commits", "{commit}", "Calls that have lost the answer to a COMMIT."),
		takeovers:       m.counter("idemtx.takeovers", "{takeover}", "Keys taken over from a call whose lease had ended."),
		sweeps:          m.counter("idemtx.sweeps", "{sweep}", "Batches of the sweeper."),
		sweepDuration:   m.duration("idemtx.sweep.duration", "How long batches of the sweeper took."),
		sweepRows:       m.counter("idemtx.sweep.rows", "{row}", "Rows that the sweeper has deleted or buried."),
	}
	return made, errors.Join(m.errs...)
}

// maker makes instruments and gathers its errors.
type maker struct {
	meter metric.Meter
	errs  []error
}

func (m *maker) note(err error) {
	if err != nil {
		m.errs = append(m.errs, fmt.Errorf("idemotel: %w", err))
	}
}

func (m *maker) counter(name, unit, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.note(err)
	return c
}

// duration makes a histogram of seconds. Its boundaries tell a replay from memory from
// one from the database, and end beyond the longest wait that most callers allow.
func (m *maker) duration(name, description string) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	m.note(err)
	return h
}
