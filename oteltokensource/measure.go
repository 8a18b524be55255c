package oteltokensource

// What is measured: the instruments, and what each event means to them.

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tokensource-go/tokensource"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// From a token that lies in a Store near by to the default FetchTimeout.
var seconds = metric.WithExplicitBucketBoundaries(
	0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

type measures struct {
	attrs  []attribute.KeyValue
	tracer trace.Tracer

	refresh, wait metric.Float64Histogram

	// Counted here and observed, so that each is exported from 0 on: a rate
	// misses what happened before a counter's first sample.
	invalidations, holds, storeFailures atomic.Int64
}

// register makes the instruments; what is observed has a registration.
func (m *measures) register(meter metric.Meter, cache *tokensource.Cache) (metric.Registration, error) {
	var errs []error
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithDescription(description), metric.WithUnit("s"), seconds)
		errs = append(errs, err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithDescription(description), metric.WithUnit(unit))
		errs = append(errs, err)
		return c
	}
	m.refresh = histogram("tokensource.refresh.duration", "Duration of refreshes, with their retries.")
	m.wait = histogram("tokensource.wait.duration", "How long calls waited that waited for a token.")
	invalidations := counter("tokensource.token.invalidations", "{token}", "Tokens that the API rejected and that were forgotten.")
	holds := counter("tokensource.refresh.holds", "{hold}",
		"Calls that failed at once, and rejected tokens that were kept, since the last attempt was too recent.")
	storeFailures := counter("tokensource.store.failures", "{failure}", "Times the Store did not work.")
	expiration, err := meter.Float64ObservableGauge("tokensource.token.expiration_time",
		metric.WithDescription("When the token expires, since the Unix epoch."), metric.WithUnit("s"))
	errs = append(errs, err)
	ready, err := meter.Int64ObservableGauge("tokensource.tokens.ready",
		metric.WithDescription("Single-use tokens that are ready."), metric.WithUnit("{token}"))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	set := metric.WithAttributeSet(attribute.NewSet(m.attrs...))
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		st := cache.Status()
		if !st.Expiry.IsZero() {
			o.ObserveFloat64(expiration, float64(st.Expiry.UnixMilli())/1e3, set)
		}
		if cache.Ready > 0 {
			o.ObserveInt64(ready, int64(st.Ready), set)
		}
		o.ObserveInt64(invalidations, m.invalidations.Load(), set)
		o.ObserveInt64(holds, m.holds.Load(), set)
		o.ObserveInt64(storeFailures, m.storeFailures.Load(), set)
		return nil
	}, invalidations, holds, storeFailures, expiration, ready)
}

// measure is told each event.
func (m *measures) measure(ctx context.Context, e tokensource.Event) {
	if e.Kind == tokensource.EventUnchanged {
		e.Err = nil // advice, no failure
	}
	switch e.Kind {
	case tokensource.EventFetched, tokensource.EventLoaded, tokensource.EventUnchanged, tokensource.EventFailed:
		m.refreshed(ctx, e)
	case tokensource.EventWaited:
		m.wait.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(m.with(e.Err)...))
	case tokensource.EventInvalidated:
		m.invalidations.Add(1)
	case tokensource.EventHeld:
		m.holds.Add(1)
	case tokensource.EventStoreFailed:
		m.storeFailures.Add(1)
	}
}

// refreshed makes a span of a refresh that has just ended.
func (m *measures) refreshed(ctx context.Context, e tokensource.Event) {
	end := time.Now()
	attrs := m.with(e.Err, attribute.String("result", string(e.Kind)))
	options := []trace.SpanStartOption{
		trace.WithNewRoot(),
		trace.WithTimestamp(end.Add(-e.Duration)),
		trace.WithAttributes(attrs...),
		trace.WithAttributes(attribute.Int("attempts", e.Attempts)),
	}
	if link := trace.LinkFromContext(ctx); link.SpanContext.IsValid() {
		options = append(options, trace.WithLinks(link))
	}
	ctx, span := m.tracer.Start(ctx, "tokensource.refresh", options...)
	if e.Err != nil {
		span.SetStatus(codes.Error, "") // its text is for logs: it quotes the provider
	}
	m.refresh.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(attrs...))
	span.End(trace.WithTimestamp(end))
}

// with adds attributes to those that all have.
func (m *measures) with(err error, attrs ...attribute.KeyValue) []attribute.KeyValue {
	attrs = append(slices.Clone(m.attrs), attrs...)
	if err != nil {
		attrs = append(attrs, attribute.String("error.type", errorType(err)))
	}
	return attrs
}

// errorType names the class of an error, see the package comment.
func errorType(err error) string {
	e := new(tokensource.Error)
	errors.As(err, &e)
	switch {
	case errors.Is(err, tokensource.ErrCredentials):
		return "credentials"
	case errors.Is(err, tokensource.ErrInsecure):
		return "insecure"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case e.Status >= 300:
		return strconv.Itoa(e.Status)
	case e.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case e.Temporary():
		return "unavailable"
	case e.Status != 0:
		return "refused"
	}
	return "_OTHER"
}
