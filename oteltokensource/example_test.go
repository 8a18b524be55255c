package oteltokensource_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
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

// For Prometheus, with the names that the dashboard and the alerts in docs/ use.
func ExampleInstrument_prometheus() {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		panic(err)
	}
	cache := &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sandbox.NewInProcess(sandbox.Config{}).Client(),
	}}
	defer cache.Close()
	registration, err := oteltokensource.Instrument(cache,
		oteltokensource.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))))
	if err != nil {
		panic(err)
	}
	defer registration.Unregister()

	if _, err := cache.Token(); err != nil {
		panic(err)
	}
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "# TYPE tokensource") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// # TYPE tokensource_refresh_duration_seconds histogram
	// # TYPE tokensource_refresh_holds_total counter
	// # TYPE tokensource_store_failures_total counter
	// # TYPE tokensource_token_expiration_time_seconds gauge
	// # TYPE tokensource_token_invalidations_total counter
	// # TYPE tokensource_wait_duration_seconds histogram
}
