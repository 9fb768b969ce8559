package idemotel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/idemtx/idemtx/idemotel"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// A service that has set the global providers needs no more than
// idemotel.New(idemotel.Config{}). Here the spans are written to memory.
func ExampleNew() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter()
	tracer, err := idemotel.New(idemotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := idemtx.New(pool, idemtx.Config{Tracer: tracer})
	if err != nil {
		log.Fatal(err)
	}
	alice, err := scope.New("acme", "alice")
	if err != nil {
		log.Fatal(err)
	}

	// A request without a key never comes as far as the database.
	_, err = idemtx.Do(ctx, store, idemtx.Request{Scope: alice, Operation: "POST /orders"},
		func(context.Context, pgx.Tx) (string, error) { return "never", nil })
	fmt.Println(err)
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name, span.Status.Code, span.Status.Description)
	}

	// Output:
	// idemtx: invalid request: there is no key
	// idemtx.Do Error idemtx: invalid request
}

// audited is a tracer of a service's own that hears of each call, too. What it does not
// define goes to the Tracer it holds, also what the sweeper does.
type audited struct{ *idemotel.Tracer }

func (a audited) TraceStart(ctx context.Context, data idemtx.TraceStartData) context.Context {
	fmt.Println(data.Mode, "begins:", data.Operation)
	return a.Tracer.TraceStart(ctx, data) // which has to get to TraceEnd
}

func ExampleTracer_TraceStart() {
	tracer, err := idemotel.New(idemotel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	config := idemtx.Config{Tracer: audited{tracer}}

	// As a store does it:
	ctx := config.Tracer.TraceStart(context.Background(), idemtx.TraceStartData{Mode: idemtx.ModeDo, Operation: "POST /orders"})
	config.Tracer.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})

	// Output:
	// Do begins: POST /orders
}

func ExampleTracer_TraceEnd() {
	spans := tracetest.NewInMemoryExporter()
	tracer, err := idemotel.New(idemotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := tracer.TraceStart(context.Background(), idemtx.TraceStartData{Mode: idemtx.ModeDoPool, Operation: "POST /charges"})
	tracer.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeReplayed, Waited: 1500 * time.Millisecond})
	for _, attribute := range spans.GetSpans()[0].Attributes {
		if attribute.Key != "idemtx.scope" {
			fmt.Println(attribute.Key, attribute.Value.String())
		}
	}

	// Output:
	// idemtx.mode DoPool
	// idemtx.operation POST /charges
	// idemtx.outcome replayed
	// idemtx.attempts 0
	// idemtx.replayed true
	// idemtx.waited 1.5
}

func ExampleTracer_TraceSweep() {
	reader := sdkmetric.NewManualReader()
	tracer, err := idemotel.New(idemotel.Config{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	if err != nil {
		log.Fatal(err)
	}
	tracer.TraceSweep(context.Background(), idemtx.TraceSweepData{Deleted: 1000, Duration: 20 * time.Millisecond})

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		log.Fatal(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Unit)
	}

	// Output:
	// idemtx.sweeps {sweep}
	// idemtx.sweep.duration s
	// idemtx.sweep.rows {row}
}
