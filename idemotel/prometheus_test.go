package idemotel_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// prometheus is what a metric is called in Prometheus, as OpenTelemetry's specification
// of the compatibility of the two has it: one name, or the three of a histogram.
func prometheus(t *testing.T, m metricdata.Metrics) []string {
	t.Helper()
	name := underscored(m.Name)
	switch {
	case m.Unit == "s":
		name += "_seconds"
	case strings.HasPrefix(m.Unit, "{") && strings.HasSuffix(m.Unit, "}"): // says what is counted
	default:
		require.Fail(t, "the unit has no translation", "%s %s", m.Name, m.Unit)
	}
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		return []string{name + "_bucket", name + "_count", name + "_sum"}
	case metricdata.Sum[int64]:
		if data.IsMonotonic {
			name += "_total"
		}
	}
	return []string{name}
}

func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }

// exposed is what Prometheus has of everything that a tracer measures: by the name of
// each metric, the labels and their values.
func exposed(t *testing.T) map[string]map[string][]string {
	t.Helper()
	w := newWatched(t)
	w.everything()
	series := make(map[string]map[string][]string)
	for _, m := range w.metrics() {
		for _, name := range prometheus(t, m) {
			series[name] = make(map[string][]string)
			if strings.HasSuffix(name, "_bucket") {
				series[name]["le"] = nil
			}
			for _, p := range pointsOf(m) {
				for label, value := range p.Labels {
					label = underscored(label)
					series[name][label] = append(series[name][label], value)
				}
			}
		}
	}
	return series
}
