package idemotel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
)

func TestASpanTellsOfItsCall(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	alice := mustScope(t, "acme", "alice")
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDoPool, Scope: alice, Operation: "POST /orders"}, idemtx.TraceEndData{
		Outcome: idemtx.OutcomeReplayed, Attempts: 2, Waited: 1500 * time.Millisecond, TookOver: true, Settled: idemtx.SettledCommitted,
	})
	span := w.span()
	require.Equal(t, "idemtx.DoPool", span.Name)
	require.Equal(t, trace.SpanKindInternal, span.SpanKind)
	require.Equal(t, codes.Unset, span.Status.Code)
	require.Equal(t, map[string]string{
		"idemtx.mode": "DoPool", "idemtx.operation": "POST /orders", "idemtx.scope": alice.LogID(),
		"idemtx.outcome": "replayed", "idemtx.attempts": "2", "idemtx.replayed": "true", "idemtx.waited": "1.5",
		"idemtx.took_over": "true", "idemtx.settled": "committed",
	}, values(span.Attributes))
}

func TestASpanIsBetweenItsCallerAndItsHandler(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	tracer := w.provider.Tracer("service")
	ctx, caller := tracer.Start(t.Context(), "caller")
	ctx = w.TraceStart(ctx, idemtx.TraceStartData{Mode: idemtx.ModeDo})
	_, handler := tracer.Start(ctx, "handler")
	handler.End()
	w.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	caller.End()
	spans := make(map[string]tracetest.SpanStub)
	for _, s := range w.spans.GetSpans() {
		spans[s.Name] = s
	}
	require.Equal(t, spans["caller"].SpanContext.SpanID(), spans["idemtx.Do"].Parent.SpanID())
	require.Equal(t, spans["idemtx.Do"].SpanContext.SpanID(), spans["handler"].Parent.SpanID())
}

func TestOnlyWhatIsTheServicesFaultIsAnError(t *testing.T) {
	t.Parallel()
	for _, outcome := range outcomes {
		w := newWatched(t)
		w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: outcome, Err: errors.New("whatever")})
		_, typed := values(w.span().Attributes)["error.type"]
		erroneous := outcome == idemtx.OutcomeUnknown || outcome == idemtx.OutcomeFailed
		require.Equal(t, erroneous, w.span().Status.Code == codes.Error, outcome)
		require.Equal(t, erroneous, typed, outcome)
	}
}

const secret = "5ecret"

// declined is an error of a handler's that tells what it should not.
type declined struct{ card string }

func (d *declined) Error() string { return "declined: " + d.card }

// coded is an error as pgconn.PgError is one.
type coded struct{ code string }

func (c *coded) Error() string    { return secret }
func (c *coded) SQLState() string { return c.code }

type typed struct{ name string }

func (t *typed) Error() string     { return secret }
func (t *typed) ErrorType() string { return t.name }

func TestAnErrorIsNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	quoted := errors.New(secret)
	for _, c := range []struct {
		err        error
		name, says string
	}{
		{nil, "panic", "the handler did not return"},
		{fmt.Errorf("%w: %w", idemtx.ErrOutcomeUnknown, quoted), "outcome_unknown", idemtx.ErrOutcomeUnknown.Error()},
		{fmt.Errorf("%w: %w", idemtx.ErrOutcomeUnknown, context.Canceled), "outcome_unknown", idemtx.ErrOutcomeUnknown.Error()},
		{fmt.Errorf("%w: %w", idemtx.ErrTxMisuse, quoted), "tx_misuse", idemtx.ErrTxMisuse.Error()},
		{fmt.Errorf("%w: %w", idemtx.ErrReplyNotStorable, quoted), "reply_not_storable", idemtx.ErrReplyNotStorable.Error()},
		{fmt.Errorf("%w: %w", idemtx.ErrInvalidRequest, quoted), "invalid_request", idemtx.ErrInvalidRequest.Error()},
		{fmt.Errorf("%s: %w", secret, context.Canceled), "context_canceled", "context canceled"},
		{fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), "context_deadline_exceeded", "context deadline exceeded"},
		{fmt.Errorf("%s: %w", secret, &idemtx.SchemaError{Table: secret}), "schema", ""},
		{fmt.Errorf("%s: %w", secret, &coded{"40001"}), "40001", ""},
		{fmt.Errorf("%s: %w", secret, &coded{secret}), "*idemotel_test.coded", ""},
		{fmt.Errorf("%s: %w", secret, &coded{"5ecrt"}), "*idemotel_test.coded", ""},
		{fmt.Errorf("%s: %w", secret, &declined{secret}), "*idemotel_test.declined", ""},
		{fmt.Errorf("%s: %w", secret, &typed{"card_declined"}), "card_declined", ""},
		{quoted, "*errors.errorString", ""},
		{errors.Join(quoted, quoted), "*errors.joinError", ""},
	} {
		w := newWatched(t)
		w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFailed, Err: c.err})
		w.TraceSweep(t.Context(), idemtx.TraceSweepData{Err: c.err})
		require.Equal(t, c.name, values(w.span().Attributes)["error.type"], "%T", c.err)
		require.Equal(t, c.says, w.span().Status.Description)
		require.Empty(t, w.span().Events)
		require.Equal(t, c.name, w.points("idemtx.calls")[0].Labels["error.type"])
		require.NotContains(t, w.said(), secret)
	}
}

// Whoever reads traces and metrics is not who may fetch a reply.
func TestAScopeIsShownAsItsHashAndOnSpansOnly(t *testing.T) {
	t.Parallel()
	w := newWatched(t, operationOnMetrics)
	whose := mustScope(t, "tenant "+secret, "principal "+secret)
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo, Scope: whose}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	require.NotContains(t, w.said(), secret)
	require.Contains(t, w.said(), whose.LogID())
	w.spans.Reset()
	require.NotContains(t, w.said(), whose.LogID())
}

// A string that is not UTF-8 keeps an exporter from sending anything.
func TestATextOfAnothersIsCutAndMadeUTF8(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 1000)
	for sent, shown := range map[string]string{
		"": "", "POST /orders": "POST /orders", "POST /\xff\xfeorders": "POST /orders",
		long: strings.Repeat("ü", 128), "x" + long: "x" + strings.Repeat("ü", 127),
	} {
		w := newWatched(t, operationOnMetrics)
		w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo, Operation: sent}, idemtx.TraceEndData{
			Outcome: idemtx.OutcomeFailed, Err: &typed{"x" + sent},
		})
		onSpan := values(w.span().Attributes)
		require.Equal(t, shown, onSpan["idemtx.operation"])
		require.Equal(t, shown, w.points("idemtx.calls")[0].Labels["idemtx.operation"])
		require.LessOrEqual(t, len(onSpan["error.type"]), 256)
		require.True(t, utf8.ValidString(w.said()))
	}
}

// From a slow bucket of a dashboard one gets to the trace of a call in it.
func TestAnExemplarPointsToTheSpanOfItsCall(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	data, ok := w.metrics()["idemtx.call.duration"].Data.(metricdata.Histogram[float64])
	require.True(t, ok)
	id := w.span().SpanContext.SpanID()
	require.Equal(t, id[:], data.DataPoints[0].Exemplars[0].SpanID)
}

// Where nobody samples, a call costs no attributes, and is measured all the same.
func TestACallThatIsNotSampledIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(c *idemotel.Config) {
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	})
	w.call(idemtx.TraceStartData{Mode: idemtx.ModeDo}, idemtx.TraceEndData{Outcome: idemtx.OutcomeFailed})
	require.Len(t, w.points("idemtx.calls"), 1)
}
