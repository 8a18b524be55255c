// A program that measures its Cache.
package main

import (
	"context"
	"fmt"
	"log"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	reader := sdkmetric.NewManualReader()
	cache := &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sandbox.NewInProcess(sandbox.Config{}).Client(),
	}}
	defer cache.Close()
	registration, err := oteltokensource.Instrument(cache,
		oteltokensource.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		log.Fatal(err)
	}
	defer registration.Unregister()
	if _, err := cache.Token(); err != nil {
		log.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	if len(all.ScopeMetrics) != 1 {
		log.Fatalf("metrics of %d packages, want those of one", len(all.ScopeMetrics))
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name)
	}
}
