package idemotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/idemtx/idemtx/idemtx"
)

// How a batch of the sweeper ends, and what becomes of a row.
const (
	sweepDone    = "done"
	sweepSkipped = "skipped"
	sweepFailed  = "failed"

	fateDeleted = "deleted"
	fateBuried  = "buried"
)

// TraceSweep measures a batch of the sweeper, unless it was broken off by the end of the
// sweeper's context. It makes no span.
func (t *Tracer) TraceSweep(ctx context.Context, data idemtx.TraceSweepData) {
	if data.Err != nil && ctx.Err() != nil {
		return
	}
	labels := []attribute.KeyValue{sweepOutcomeKey.String(sweepDone)}
	switch {
	case data.Err != nil:
		labels = []attribute.KeyValue{sweepOutcomeKey.String(sweepFailed), errorType(data.Err)}
	case data.Skipped:
		labels[0] = sweepOutcomeKey.String(sweepSkipped)
	}
	ended := metric.WithAttributeSet(attribute.NewSet(labels...))
	t.sweeps.Add(ctx, 1, ended)
	t.sweepDuration.Record(ctx, data.Duration.Seconds(), ended)
	t.sweepRows.Add(ctx, data.Deleted, metric.WithAttributes(sweepFateKey.String(fateDeleted)))
	t.sweepRows.Add(ctx, data.Buried, metric.WithAttributes(sweepFateKey.String(fateBuried)))
}
