package telemetry

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// readings is what has been measured and traced.
type readings struct {
	t        *testing.T
	provider *sdktrace.TracerProvider
	reader   *sdkmetric.ManualReader
	spans    *tracetest.InMemoryExporter
}

// series is a time series: the sum of a counter, or of a histogram how often.
type series struct {
	labels map[string]string
	count  int64
	sum    float64 // of a histogram
}

// all returns the time series of an instrument.
func (r *readings) all(name string) (found []series) {
	r.t.Helper()
	var collected metricdata.ResourceMetrics
	require.NoError(r.t, r.reader.Collect(r.t.Context(), &collected))
	for _, s := range collected.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found = append(found, series{labels: values(p.Attributes.ToSlice()), count: p.Value})
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found = append(found, series{values(p.Attributes.ToSlice()), int64(p.Count), p.Sum})
				}
			}
		}
	}
	return found
}

// count adds up the time series of an instrument that have these labels, which are
// names and values by turns.
func (r *readings) count(name string, labels ...string) (n int64) {
	r.t.Helper()
	for _, s := range r.all(name) {
		has := true
		for i := 0; i < len(labels); i += 2 {
			has = has && s.labels[labels[i]] == labels[i+1]
		}
		if has {
			n += s.count
		}
	}
	return n
}

// took adds up a histogram, in seconds.
func (r *readings) took(name string) (sum float64) {
	r.t.Helper()
	for _, s := range r.all(name) {
		sum += s.sum
	}
	return sum
}

// calls are the spans of idemtx, the oldest first.
func (r *readings) calls() (found []tracetest.SpanStub) {
	for _, s := range r.spans.GetSpans() {
		if s.InstrumentationScope.Name == "github.com/idemtx/idemtx/idemotel" {
			found = append(found, s)
		}
	}
	return found
}

// call is the last span of idemtx, as its attributes.
func (r *readings) call() map[string]string {
	r.t.Helper()
	calls := r.calls()
	require.NotEmpty(r.t, calls)
	return values(calls[len(calls)-1].Attributes)
}

func values(attributes []attribute.KeyValue) map[string]string {
	out := make(map[string]string)
	for _, a := range attributes {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}
