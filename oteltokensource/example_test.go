package oteltokensource_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// In a program the reader is that of an exporter: of Prometheus, of OTLP.
func ExampleInstrument() {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	cache := &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sandbox.NewInProcess(sandbox.Config{}).Client(),
	}}
	defer cache.Close()
	registration, err := oteltokensource.Instrument(cache,
		oteltokensource.WithMeterProvider(meters),
		oteltokensource.WithAttributes(attribute.String("source", "payments")))
	if err != nil {
		panic(err)
	}
	defer registration.Unregister()

	if _, err := cache.Token(); err != nil {
		panic(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		panic(err)
	}
	var names []string
	for _, m := range all.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Println(name)
	}
	// Output:
	// tokensource.refresh.duration
	// tokensource.refresh.holds
	// tokensource.store.failures
	// tokensource.token.expiration_time
	// tokensource.token.invalidations
	// tokensource.wait.duration
}

// The span of a refresh links to the span of the request that waited for it.
func ExampleInstrument_traces() {
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503}) // the first time
	cache := &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sb.Client(),
	}}
	defer cache.Close()
	registration, err := oteltokensource.Instrument(cache, oteltokensource.WithTracerProvider(tracers))
	if err != nil {
		panic(err)
	}
	defer registration.Unregister()

	ctx, request := tracers.Tracer("shop").Start(context.Background(), "checkout")
	if _, err := cache.TokenContext(ctx); err != nil {
		panic(err)
	}
	request.End()

	refresh := spans.GetSpans()[0]
	fmt.Println(refresh.Name)
	for _, a := range refresh.Attributes {
		fmt.Printf("  %s: %s\n", a.Key, a.Value.String())
	}
	fmt.Println("links to the request:", refresh.Links[0].SpanContext.SpanID() == request.SpanContext().SpanID())
	// Output:
	// tokensource.refresh
	//   provider: blink
	//   result: fetched
	//   attempts: 2
	// links to the request: true
}
