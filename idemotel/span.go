package idemotel

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/idemtx/idemtx/idemtx"
)

// end says on the span how the call has ended, and ends it.
func end(span trace.Span, data idemtx.TraceEndData) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	attributes := []attribute.KeyValue{
		outcomeKey.String(string(data.Outcome)),
		attemptsKey.Int(data.Attempts),
		replayedKey.Bool(data.Outcome == idemtx.OutcomeReplayed),
		waitedKey.Float64(data.Waited.Seconds()),
	}
	if data.TookOver {
		attributes = append(attributes, tookOverKey.Bool(true))
	}
	if data.Settled != "" {
		attributes = append(attributes, settledKey.String(string(data.Settled)))
	}
	if erroneous(data.Outcome) {
		attributes = append(attributes, errorType(data.Err))
		// Not RecordError, and not the error's text: it may be the handler's.
		span.SetStatus(codes.Error, described(data.Err))
	}
	span.SetAttributes(attributes...)
}

// erroneous tells the outcomes that are errors of the service.
func erroneous(o idemtx.Outcome) bool {
	return o == idemtx.OutcomeUnknown || o == idemtx.OutcomeFailed
}
