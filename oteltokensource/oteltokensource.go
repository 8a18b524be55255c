// Package oteltokensource makes OpenTelemetry metrics and traces of what a
// [tokensource.Cache] does:
//
//	cache := &tokensource.Cache{Source: blink}
//	registration, err := oteltokensource.Instrument(cache)
//	...
//	defer registration.Unregister()
//
// # Metrics
//
//	tokensource.refresh.duration        histogram, s   refreshes, with their retries; result is fetched, loaded (from the Store), unchanged or failed
//	tokensource.wait.duration           histogram, s   calls that waited for a token; a call that did not wait is not in it
//	tokensource.token.expiration_time   gauge, s       when the token expires, since the Unix epoch; absent without a token, or if that never expires
//	tokensource.tokens.ready            gauge          single-use tokens that are ready; only of a Cache with Ready
//	tokensource.token.invalidations     counter        tokens that the API rejected and that were forgotten
//	tokensource.refresh.holds           counter        calls that failed at once, and rejected tokens that were kept, since the last attempt is too recent
//	tokensource.store.failures          counter        times the Store did not work
//
// Each has the attribute provider, as in [tokensource.Event], unless the source
// has none, and those of [WithAttributes]. The two histograms have error.type if
// the refresh or the call failed. It is one of
//
//	credentials   the provider rejected them, or there are none
//	insecure      plain http was refused
//	canceled      the caller left
//	timeout       the caller's context, FetchTimeout or the network ran out of time
//	429, 503, ... the status of the token endpoint's answer, from 300 on
//	unavailable   there was no answer, or none that could be read
//	refused       the provider refused with a status below 300
//	_OTHER        anything else, such as a mistake in the configuration
//
// The Prometheus exporter spells them tokensource_refresh_duration_seconds and
// so on, if it is told to: by default it keeps the dots for a Prometheus that
// takes them. docs/grafana-dashboard.json and docs/prometheus-alerts.yaml of the
// repository are for the names with underscores.
//
// # Traces
//
// Each refresh is a span tokensource.refresh of a trace of its own, for it
// serves many callers. It links to the span of the call that began it, if that
// call waited; a refresh in the background has no such call. Its attributes are
// those of tokensource.refresh.duration and attempts, the number of token
// requests. The exemplars of that histogram lead to the span, those of
// tokensource.wait.duration to the caller's.
//
// # What it costs and shows
//
// A call that gets a valid token costs as much as without: nothing is measured
// there. No attribute holds a client id, a path, a key, a token, or an error's
// text.
package oteltokensource

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tokensource-go/tokensource"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/tokensource-go/tokensource/oteltokensource"

// Option configures [Instrument].
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	attrs   []attribute.KeyValue
}

// WithMeterProvider sets where the metrics go. Default: the global one.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider sets where the spans go. Default: the global one.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithAttributes adds attributes to all metrics and spans of the Cache. Several
// caches with one provider need one that tells them apart: the later gauge
// would hide the other. An attribute provider replaces the Cache's own.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return func(c *config) { c.attrs = append(c.attrs, attrs...) }
}

// Instrument measures a Cache. It is called once for each, when its fields are
// set and before it is used: it puts itself before the OnEvent that the Cache
// has, which is called as before.
//
// Unregister ends the measuring and lets go of the Cache, OnEvent stays in
// place. Call it if the Cache ends before the MeterProvider.
func Instrument(cache *tokensource.Cache, opts ...Option) (metric.Registration, error) {
	if cache == nil || cache.Source == nil {
		return nil, errors.New("oteltokensource: the Cache has no Source: set its fields first")
	}
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	if provider := cache.Status().Provider; provider != "" {
		c.attrs = append(c.attrs, attribute.String("provider", provider))
	}
	for _, opt := range opts {
		opt(&c)
	}
	m := &measures{attrs: c.attrs, tracer: c.tracers.Tracer(scope)}
	r := &registration{}
	var err error
	if r.observed, err = m.register(c.meters.Meter(scope), cache); err != nil {
		return nil, fmt.Errorf("oteltokensource: %w", err)
	}
	next := cache.OnEvent
	cache.OnEvent = func(ctx context.Context, e tokensource.Event) {
		if !r.ended.Load() {
			m.measure(ctx, e)
		}
		if next != nil {
			next(ctx, e)
		}
	}
	return r, nil
}

type registration struct {
	noop.Registration // later methods of the interface do nothing

	observed metric.Registration
	ended    atomic.Bool
}

func (r *registration) Unregister() error {
	r.ended.Store(true)
	return r.observed.Unregister()
}
