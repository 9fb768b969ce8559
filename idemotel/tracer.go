package idemotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/idemtx/idemtx/idemtx"
)

// instrumentation is the name of the instrumentation scope.
const instrumentation = "github.com/idemtx/idemtx/idemotel"

// Config says where metrics and spans go. The zero value is a good one.
type Config struct {
	// MeterProvider makes the instruments.
	//
	// Defaults to the global one, which may be set after [New].
	MeterProvider metric.MeterProvider

	// TracerProvider makes the spans.
	//
	// Defaults to the global one, which may be set after [New].
	TracerProvider trace.TracerProvider

	// OperationOnMetrics puts idemtx.operation on the metrics of calls, too. Each
	// operation then has time series of its own, so there must be few of them, and
	// none may be made of what a client sends: an id in a path is a series per
	// order. The operations of idemhttp hold the path.
	//
	// Defaults to false.
	OperationOnMetrics bool
}

// Tracer is an [idemtx.Tracer] and an [idemtx.SweepTracer]. One serves any number of
// stores, at the same time as well; their calls are counted together.
type Tracer struct {
	tracer             trace.Tracer
	operationOnMetrics bool
	instruments
}

var (
	_ idemtx.Tracer      = (*Tracer)(nil)
	_ idemtx.SweepTracer = (*Tracer)(nil)
)

// New returns a tracer. It fails when the MeterProvider refuses an instrument.
func New(config Config) (*Tracer, error) {
	if config.MeterProvider == nil {
		config.MeterProvider = otel.GetMeterProvider()
	}
	if config.TracerProvider == nil {
		config.TracerProvider = otel.GetTracerProvider()
	}
	made, err := newInstruments(config.MeterProvider.Meter(instrumentation, metric.WithSchemaURL(semconv.SchemaURL)))
	if err != nil {
		return nil, err
	}
	return &Tracer{
		tracer:             config.TracerProvider.Tracer(instrumentation, trace.WithSchemaURL(semconv.SchemaURL)),
		operationOnMetrics: config.OperationOnMetrics,
		instruments:        made,
	}, nil
}

// call is what is known of a call between its beginning and its end.
type call struct {
	began time.Time
	span  trace.Span
	// labels are the attributes of the metrics that are known from the beginning.
	labels []attribute.KeyValue
}

// callKey is where a context holds the call. Of each tracer: it may be one of several
// that a tracer of the caller's passes everything on to.
type callKey struct{ *Tracer }

// TraceStart begins the span of a call, which the returned context holds.
func (t *Tracer) TraceStart(ctx context.Context, data idemtx.TraceStartData) context.Context {
	data.Operation = presentable(data.Operation)
	c := &call{began: time.Now(), labels: []attribute.KeyValue{modeKey.String(string(data.Mode))}}
	if t.operationOnMetrics {
		c.labels = append(c.labels, operationKey.String(data.Operation))
	}
	ctx, c.span = t.tracer.Start(ctx, "idemtx."+string(data.Mode), trace.WithAttributes(
		modeKey.String(string(data.Mode)), operationKey.String(data.Operation), scopeKey.String(data.Scope.LogID()),
	))
	t.active.Add(ctx, 1, metric.WithAttributes(c.labels...))
	return context.WithValue(ctx, callKey{t}, c)
}

// TraceEnd ends the span that [Tracer.TraceStart] has begun, and measures the call. A
// context that is not from there is passed over.
func (t *Tracer) TraceEnd(ctx context.Context, data idemtx.TraceEndData) {
	c, ok := ctx.Value(callKey{t}).(*call)
	if !ok {
		return
	}
	// With the call's context, so that an exemplar points to its span.
	t.measure(ctx, c, data, time.Since(c.began))
	end(c.span, data)
}

// measure updates the instruments of calls.
func (t *Tracer) measure(ctx context.Context, c *call, data idemtx.TraceEndData, took time.Duration) {
	t.active.Add(ctx, -1, metric.WithAttributes(c.labels...))
	labels := append(c.labels[:len(c.labels):len(c.labels)], outcomeKey.String(string(data.Outcome)))
	ended := metric.WithAttributeSet(attribute.NewSet(labels...))
	withError := ended
	if erroneous(data.Outcome) {
		withError = metric.WithAttributeSet(attribute.NewSet(append(labels, errorType(data.Err))...))
	}

	t.calls.Add(ctx, 1, withError)
	t.callDuration.Record(ctx, took.Seconds(), withError)
	t.storeDuration.Record(ctx, max(0, took-data.Handler-data.Waited).Seconds(), ended)
	if data.Waited > 0 {
		t.waitDuration.Record(ctx, data.Waited.Seconds(), ended)
	}
	if data.Handler > 0 {
		t.handlerDuration.Record(ctx, data.Handler.Seconds(), ended)
	}
	if data.Attempts > 0 {
		t.attempts.Add(ctx, int64(data.Attempts), ended)
		t.retries.Add(ctx, int64(data.Attempts-1), ended)
	}
	if data.TookOver {
		t.takeovers.Add(ctx, 1, ended)
	}
	if data.Settled != "" {
		settled := append(c.labels[:len(c.labels):len(c.labels)], settledKey.String(string(data.Settled)))
		t.lostCommits.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(settled...)))
	}
}
