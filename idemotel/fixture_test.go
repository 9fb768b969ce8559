package idemotel_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

var (
	modes    = []idemtx.Mode{idemtx.ModeDo, idemtx.ModeDoBatch, idemtx.ModeDoTx, idemtx.ModeDoPool}
	outcomes = []idemtx.Outcome{
		idemtx.OutcomeFirst, idemtx.OutcomeReplayed, idemtx.OutcomeRefused, idemtx.OutcomeMismatch,
		idemtx.OutcomeInFlight, idemtx.OutcomeExpired, idemtx.OutcomeUnknown, idemtx.OutcomeFailed,
	}
	settlements = []idemtx.Settlement{idemtx.SettledCommitted, idemtx.SettledUndone, idemtx.SettledUnknown}
)

// watched is a tracer with what comes of it.
type watched struct {
	*idemotel.Tracer
	tb       testing.TB
	provider *sdktrace.TracerProvider
	reader   *sdkmetric.ManualReader
	spans    *tracetest.InMemoryExporter
}

func newWatched(tb testing.TB, change ...func(*idemotel.Config)) *watched {
	tb.Helper()
	w := &watched{tb: tb, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	w.provider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	config := idemotel.Config{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)),
		TracerProvider: w.provider,
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	w.Tracer, err = idemotel.New(config)
	require.NoError(tb, err)
	return w
}

func operationOnMetrics(c *idemotel.Config) { c.OperationOnMetrics = true }

// call has the tracer told of a call from its beginning to its end.
func (w *watched) call(start idemtx.TraceStartData, end idemtx.TraceEndData) {
	w.TraceEnd(w.TraceStart(w.tb.Context(), start), end)
}

// everything has the tracer told of whatever it can be told.
func (w *watched) everything() {
	for _, mode := range modes {
		for _, outcome := range outcomes {
			for _, settled := range settlements {
				w.call(idemtx.TraceStartData{Mode: mode, Operation: "POST /orders"}, idemtx.TraceEndData{
					Outcome: outcome, Attempts: 2, Handler: 2, Waited: 1, TookOver: true, Settled: settled,
				})
			}
		}
	}
	w.TraceSweep(w.tb.Context(), idemtx.TraceSweepData{Deleted: 2, Buried: 1, Duration: 1})
	w.TraceSweep(w.tb.Context(), idemtx.TraceSweepData{Duration: 1, Skipped: true})
	w.TraceSweep(w.tb.Context(), idemtx.TraceSweepData{Duration: 1, Err: context.DeadlineExceeded})
}

// metrics returns what was measured, by the names of the instruments.
func (w *watched) metrics() map[string]metricdata.Metrics {
	w.tb.Helper()
	var collected metricdata.ResourceMetrics
	require.NoError(w.tb, w.reader.Collect(w.tb.Context(), &collected))
	byName := make(map[string]metricdata.Metrics)
	for _, s := range collected.ScopeMetrics {
		for _, m := range s.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// point is one time series: the sum of a counter, or of a histogram how often and how much.
type point struct {
	Labels map[string]string
	Count  int64
	Sum    float64
}

// points returns the series of an instrument.
func (w *watched) points(name string) []point {
	w.tb.Helper()
	return pointsOf(w.metrics()[name])
}

func pointsOf(m metricdata.Metrics) (points []point) {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{labels(p.Attributes), p.Value, float64(p.Value)})
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{labels(p.Attributes), int64(p.Count), p.Sum})
		}
	}
	return points
}

func labels(set attribute.Set) map[string]string { return values(set.ToSlice()) }

func values(attributes []attribute.KeyValue) map[string]string {
	out := make(map[string]string)
	for _, a := range attributes {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

// said is all that has come out of the tracer, as text.
func (w *watched) said() string {
	w.tb.Helper()
	text := ""
	for name, m := range w.metrics() {
		encoded, err := json.Marshal(pointsOf(m))
		require.NoError(w.tb, err)
		text += name + m.Description + m.Unit + string(encoded)
	}
	for _, s := range w.spans.GetSpans() {
		encoded, err := json.Marshal([]any{s.Name, values(s.Attributes), s.Events, s.Status})
		require.NoError(w.tb, err)
		text += string(encoded)
	}
	return text
}

// span returns the one span that has ended.
func (w *watched) span() tracetest.SpanStub {
	w.tb.Helper()
	spans := w.spans.GetSpans()
	require.Len(w.tb, spans, 1)
	return spans[0]
}

func mustScope(tb testing.TB, tenant, principal string) scope.Scope {
	tb.Helper()
	s, err := scope.New(tenant, principal)
	require.NoError(tb, err)
	return s
}
