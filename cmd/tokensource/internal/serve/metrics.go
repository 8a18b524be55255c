package serve

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/oteltokensource"
)

// metrics are those of all sources, for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	provider *metric.MeterProvider
}

func newMetrics() (*metrics, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, err
	}
	return &metrics{registry, metric.NewMeterProvider(metric.WithReader(exporter))}, nil
}

// add measures a source. Its name is the provider's, for two sources may be of
// one provider.
func (m *metrics) add(src *source) error {
	_, err := oteltokensource.Instrument(src.cache, oteltokensource.WithMeterProvider(m.provider),
		oteltokensource.WithAttributes(attribute.String("provider", src.Name)))
	return err
}

// handler needs no secret on this machine: there is none in the metrics. Other
// machines need it, by HTTP Basic.
func (m *metrics) handler(g *gate.Gate) http.HandlerFunc {
	next := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.TLS != nil {
			switch err := g.AdmitBasic(r); {
			case errors.Is(err, gate.ErrTooMany):
				w.Header().Set("Retry-After", "1")
				text(w, http.StatusTooManyRequests, err.Error()+"\n")
				return
			case err != nil:
				w.Header().Set("WWW-Authenticate", gate.Challenge)
				text(w, http.StatusUnauthorized, err.Error()+"\n")
				return
			}
		}
		next.ServeHTTP(w, r)
	}
}
