package idemotel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
)

func TestEachCallIsCountedByItsModeAndOutcome(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	var want []point
	for _, mode := range modes {
		for _, outcome := range outcomes {
			labels := map[string]string{"idemtx.mode": string(mode), "idemtx.outcome": string(outcome)}
			data := idemtx.TraceEndData{Outcome: outcome}
			if outcome == idemtx.OutcomeFailed || outcome == idemtx.OutcomeUnknown {
				data.Err = idemtx.ErrOutcomeUnknown
				labels["error.type"] = "outcome_unknown"
			}
			w.call(idemtx.TraceStartData{Mode: mode}, data)
			want = append(want, point{labels, 1, 1})
		}
	}
	require.ElementsMatch(t, want, w.points("idemtx.calls"))
	for i, p := range w.points("idemtx.call.duration") {
		require.EqualValues(t, 1, p.Count, i)
		require.Contains(t, want, point{p.Labels, 1, 1})
	}
	require.Len(t, w.points("idemtx.call.duration"), len(want))
	require.Len(t, w.points("idemtx.store.duration"), len(want))
	for _, p := range w.points("idemtx.active_calls") {
		require.Zero(t, p.Count)
	}
	for _, absent := range []string{
		"idemtx.wait.duration", "idemtx.handler.duration", "idemtx.attempts", "idemtx.retries",
		"idemtx.takeovers", "idemtx.lost_commits",
	} {
		require.Empty(t, w.points(absent), absent)
	}
}

func TestACallIsActiveUntilItEnds(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	start := idemtx.TraceStartData{Mode: idemtx.ModeDo}
	first, second := w.TraceStart(t.Context(), start), w.TraceStart(t.Context(), start)
	active := func() int64 { return w.points("idemtx.active_calls")[0].Count }
	require.EqualValues(t, 2, active())
	w.TraceEnd(first, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	require.EqualValues(t, 1, active())
	w.TraceEnd(second, idemtx.TraceEndData{Outcome: idemtx.OutcomeFailed})
	require.EqualValues(t, 0, active())
}

func TestTheTimeOfACallIsSplit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		ctx := w.TraceStart(t.Context(), idemtx.TraceStartData{Mode: idemtx.ModeDoTx})
		<-time.After(10 * time.Second)
		w.TraceEnd(ctx, idemtx.TraceEndData{
			Outcome: idemtx.OutcomeFirst, Attempts: 3, Handler: 6 * time.Second, Waited: time.Second, TookOver: true,
		})
		labels := map[string]string{"idemtx.mode": "DoTx", "idemtx.outcome": "first"}
		for name, want := range map[string]point{
			"idemtx.call.duration":    {labels, 1, 10},
			"idemtx.handler.duration": {labels, 1, 6},
			"idemtx.wait.duration":    {labels, 1, 1},
			"idemtx.store.duration":   {labels, 1, 3},
			"idemtx.attempts":         {labels, 3, 3},
			"idemtx.retries":          {labels, 2, 2},
			"idemtx.takeovers":        {labels, 1, 1},
		} {
			require.Equal(t, []point{want}, w.points(name), name)
		}
	})
}

func TestTheStoreNeverTakesLessThanNothing(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst, Handler: time.Hour})
	require.Zero(t, w.points("idemtx.store.duration")[0].Sum)
}

func TestALostCommitIsCountedByWhatHasBecomeOfIt(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	var want []point
	for i, settled := range settlements {
		w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: outcomes[i], Settled: settled})
		want = append(want, point{map[string]string{"idemtx.mode": "Do", "idemtx.settled": string(settled)}, 1, 1})
	}
	require.ElementsMatch(t, want, w.points("idemtx.lost_commits"))
}

// Boundaries in milliseconds, or the SDK's own, would put all calls into one bucket.
func TestDurationsHaveTheirBuckets(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.everything()
	histograms := 0
	for name, m := range w.metrics() {
		data, ok := m.Data.(metricdata.Histogram[float64])
		if !ok {
			continue
		}
		histograms++
		require.Equal(t, "s", m.Unit, name)
		bounds := data.DataPoints[0].Bounds
		require.Equal(t, []float64{0.0005, 60}, []float64{bounds[0], bounds[len(bounds)-1]}, name)
	}
	require.Equal(t, 5, histograms)
}

func TestTheOperationIsOnMetricsOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	for asked, change := range map[bool]func(*idemotel.Config){false: func(*idemotel.Config) {}, true: operationOnMetrics} {
		w := newWatched(t, change)
		w.everything()
		for name, m := range w.metrics() {
			ofCalls := len(name) < 12 || name[:12] != "idemtx.sweep"
			for _, p := range pointsOf(m) {
				_, ok := p.Labels["idemtx.operation"]
				require.Equal(t, asked && ofCalls, ok, "%s %v", name, p.Labels)
			}
		}
	}
}

func TestSweepsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.TraceSweep(t.Context(), idemtx.TraceSweepData{Deleted: 7, Buried: 2, Duration: time.Second})
	w.TraceSweep(t.Context(), idemtx.TraceSweepData{Deleted: 1, Duration: 2 * time.Second})
	w.TraceSweep(t.Context(), idemtx.TraceSweepData{Duration: 4 * time.Second, Skipped: true})
	w.TraceSweep(t.Context(), idemtx.TraceSweepData{Duration: 8 * time.Second, Err: &idemtx.SchemaError{}})
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	w.TraceSweep(over, idemtx.TraceSweepData{Duration: 16 * time.Second, Err: context.DeadlineExceeded}) // broken off
	done := map[string]string{"idemtx.sweep.outcome": "done"}
	skipped := map[string]string{"idemtx.sweep.outcome": "skipped"}
	failed := map[string]string{"idemtx.sweep.outcome": "failed", "error.type": "schema"}
	require.ElementsMatch(t, []point{{done, 2, 2}, {skipped, 1, 1}, {failed, 1, 1}}, w.points("idemtx.sweeps"))
	require.ElementsMatch(t, []point{{done, 2, 3}, {skipped, 1, 4}, {failed, 1, 8}}, w.points("idemtx.sweep.duration"))
	require.ElementsMatch(t, []point{
		{map[string]string{"idemtx.sweep.fate": "deleted"}, 8, 8}, {map[string]string{"idemtx.sweep.fate": "buried"}, 2, 2},
	}, w.points("idemtx.sweep.rows"))
	require.Empty(t, w.spans.GetSpans())
}

// A service may pass on to two tracers, and then each TraceEnd gets one context of both.
func TestTracersDoNotTakeEachOthersCalls(t *testing.T) {
	t.Parallel()
	one, two := newWatched(t), newWatched(t)
	ctx := two.TraceStart(one.TraceStart(t.Context(), idemtx.TraceStartData{Mode: idemtx.ModeDo}), idemtx.TraceStartData{Mode: idemtx.ModeDoTx})
	for _, w := range []*watched{one, two} {
		w.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	}
	require.Equal(t, "idemtx.Do", one.span().Name)
	require.Equal(t, "idemtx.DoTx", two.span().Name)
	require.Equal(t, "Do", one.points("idemtx.calls")[0].Labels["idemtx.mode"])

	newWatched(t).TraceEnd(ctx, idemtx.TraceEndData{}) // of neither
}

func TestATracerServesManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWatched(t, operationOnMetrics)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for range 100 {
				w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst, Settled: idemtx.SettledUndone})
			}
		})
	}
	calls.Wait()
	require.EqualValues(t, 800, w.points("idemtx.calls")[0].Count)
	require.Zero(t, w.points("idemtx.active_calls")[0].Count)
	require.Len(t, w.spans.GetSpans(), 800)
}

// The global providers are often set after the stores are made.
func TestTheGlobalProvidersMayBeSetLater(t *testing.T) {
	t.Parallel()
	tracer, err := idemotel.New(idemotel.Config{})
	require.NoError(t, err)
	w := &watched{tb: t, Tracer: tracer, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)))
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans)))
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	require.Equal(t, "idemtx.Do", w.span().Name)
	require.Len(t, w.points("idemtx.calls"), 1)
}

// grudging is a provider whose meters refuse counters.
type grudging struct{ noop.MeterProvider }

func (grudging) Meter(string, ...metric.MeterOption) metric.Meter { return refuser{} }

type refuser struct{ noop.Meter }

func (refuser) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errors.New("no more counters")
}

func TestNewFailsWithoutItsInstruments(t *testing.T) {
	t.Parallel()
	_, err := idemotel.New(idemotel.Config{MeterProvider: grudging{}})
	require.ErrorContains(t, err, "idemotel: no more counters")
}
