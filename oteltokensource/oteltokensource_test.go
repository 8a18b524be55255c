package oteltokensource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/oauth2"
)

// rig is a Cache of a sandbox's Blackhawk, whose answers take half a second, and
// what was measured of it.
type rig struct {
	sandbox *sandbox.Sandbox
	cache   *tokensource.Cache
	reader  *sdkmetric.ManualReader
	spans   *tracetest.SpanRecorder
	meters  *sdkmetric.MeterProvider
	tracers *sdktrace.TracerProvider
}

const latency = 500 * time.Millisecond

func newRig(t *testing.T) *rig {
	r := &rig{
		sandbox: sandbox.NewInProcess(sandbox.Config{}),
		reader:  sdkmetric.NewManualReader(),
		spans:   tracetest.NewSpanRecorder(),
	}
	r.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	r.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Delay: latency})
	r.cache = &tokensource.Cache{Source: r.source()}
	t.Cleanup(func() { r.cache.Close() })
	return r
}

func (r *rig) source() *tokensource.Blackhawk {
	return &tokensource.Blackhawk{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     "https://bhn.example",
		HTTPClient:  r.sandbox.Client(),
	}
}

func (r *rig) instrument(t *testing.T, opts ...oteltokensource.Option) metric.Registration {
	t.Helper()
	opts = append([]oteltokensource.Option{
		oteltokensource.WithMeterProvider(r.meters), oteltokensource.WithTracerProvider(r.tracers),
	}, opts...)
	registration, err := oteltokensource.Instrument(r.cache, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return registration
}

func (r *rig) token(t *testing.T) *oauth2.Token {
	t.Helper()
	tok, err := r.cache.TokenContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func (r *rig) collect(t *testing.T) metricdata.ResourceMetrics {
	t.Helper()
	synctest.Wait()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// metrics has a line for each series: its name, attributes, and value, or count
// and sum. Counters that are 0 have none.
func (r *rig) metrics(t *testing.T) []string {
	t.Helper()
	var lines []string
	add := func(name string, set attribute.Set, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%s{%s} ", name, set.Encoded(attribute.DefaultEncoder()))+fmt.Sprintf(format, args...))
	}
	for _, scope := range r.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, "%d %.3gs", p.Count, p.Sum)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if !data.IsMonotonic {
						t.Errorf("%s is no counter", m.Name)
					}
					if p.Value != 0 {
						add(m.Name, p.Attributes, "%d", p.Value)
					}
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, "%d", p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					at := time.UnixMilli(int64(p.Value * 1000))
					add(m.Name, p.Attributes, "in %v", time.Until(at).Round(10*time.Millisecond))
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	sort.Strings(lines)
	return lines
}

func (r *rig) wantMetrics(t *testing.T, want ...string) {
	t.Helper()
	if got := r.metrics(t); !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestTheEarlierOnEventIsCalledAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		type key struct{}
		var told []string
		r.cache.OnEvent = func(ctx context.Context, e tokensource.Event) {
			told = append(told, fmt.Sprintf("%s %s %v", e.Provider, e.Kind, ctx.Value(key{})))
		}
		wantTold := func(want ...string) {
			t.Helper()
			if !slices.Equal(told, want) {
				t.Fatalf("told %q, want %q", told, want)
			}
			told = nil
		}
		registration := r.instrument(t)
		ctx := context.WithValue(t.Context(), key{}, "request")
		tok, err := r.cache.TokenContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		wantTold("blackhawk fetched request", "blackhawk waited request")

		if err := registration.Unregister(); err != nil {
			t.Fatal(err)
		}
		before := len(r.spans.Ended())
		r.cache.Invalidate(tok)
		if _, err := r.cache.TokenContext(ctx); err != nil {
			t.Fatal(err)
		}
		wantTold("blackhawk invalidated <nil>", "blackhawk fetched request", "blackhawk waited request")
		if n := len(r.spans.Ended()); n != before {
			t.Errorf("%d spans after Unregister, %d before", n, before)
		}
		if err := registration.Unregister(); err != nil {
			t.Errorf("a second Unregister: %v", err)
		}
	})
}

func TestUnregisterRemovesWhatIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		registration := r.instrument(t)
		r.cache.Invalidate(r.token(t))
		r.token(t)
		before := []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 2 1s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.token.invalidations{provider=blackhawk} 1",
			"tokensource.wait.duration{provider=blackhawk} 2 1s",
		}
		r.wantMetrics(t, before...)
		if err := registration.Unregister(); err != nil {
			t.Fatal(err)
		}
		r.wantMetrics(t, before[0], before[3])
	})
}

func TestSeveralCachesShareAMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRig(t), newRig(t)
		b.meters = a.meters
		registration := a.instrument(t, oteltokensource.WithAttributes(attribute.String("source", "a")))
		b.instrument(t, oteltokensource.WithAttributes(attribute.String("source", "b")))
		a.token(t)
		time.Sleep(time.Minute)
		b.cache.Invalidate(b.token(t))
		b.token(t)
		ofA := []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched,source=a} 1 0.5s",
			"tokensource.token.expiration_time{provider=blackhawk,source=a} in 8m58.5s",
			"tokensource.wait.duration{provider=blackhawk,source=a} 1 0.5s",
		}
		ofB := []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched,source=b} 2 1s",
			"tokensource.token.expiration_time{provider=blackhawk,source=b} in 9m59.5s",
			"tokensource.token.invalidations{provider=blackhawk,source=b} 1",
			"tokensource.wait.duration{provider=blackhawk,source=b} 2 1s",
		}
		a.wantMetrics(t, ofA[0], ofB[0], ofA[1], ofB[1], ofB[2], ofA[2], ofB[3])
		if err := registration.Unregister(); err != nil {
			t.Fatal(err)
		}
		a.wantMetrics(t, ofA[0], ofB[0], ofB[1], ofB[2], ofA[2], ofB[3])
	})
}

func TestTheProviderOfASourceWithoutOne(t *testing.T) {
	for name, c := range map[string]struct {
		opts []oteltokensource.Option
		want string
	}{
		"none":            {nil, "tokensource.wait.duration{} 1 0s"},
		"given by option": {[]oteltokensource.Option{oteltokensource.WithAttributes(attribute.String("provider", "idp"))}, "tokensource.wait.duration{provider=idp} 1 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.cache.Source = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "never expires"})
				r.instrument(t, c.opts...)
				r.token(t)
				if got := r.metrics(t); !slices.Contains(got, c.want) || len(got) != 2 {
					t.Errorf("got %q, want %q and the refresh", got, c.want)
				}
			})
		})
	}
}

func TestTheProvidersAreTheGlobalOnesByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		otel.SetMeterProvider(r.meters)
		otel.SetTracerProvider(r.tracers)
		defer otel.SetMeterProvider(noop.NewMeterProvider())
		defer otel.SetTracerProvider(nooptrace.NewTracerProvider())
		if _, err := oteltokensource.Instrument(r.cache); err != nil {
			t.Fatal(err)
		}
		r.token(t)
		r.wantMetrics(t,
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s")
		if n := len(r.spans.Ended()); n != 1 {
			t.Errorf("%d spans, want 1", n)
		}
	})
}

type brokenMeters struct{ noop.MeterProvider }

func (brokenMeters) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ noop.Meter }

func (brokenMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, errors.New("no histograms today")
}

func TestAFailedInstrumentLeavesTheCacheAsItWas(t *testing.T) {
	for name, c := range map[string]struct {
		cache *tokensource.Cache
		want  string
	}{
		"no cache":     {nil, "oteltokensource: the Cache has no Source: set its fields first"},
		"no source":    {&tokensource.Cache{}, "oteltokensource: the Cache has no Source: set its fields first"},
		"broken meter": {newRig(t).cache, "oteltokensource: no histograms today"},
	} {
		t.Run(name, func(t *testing.T) {
			registration, err := oteltokensource.Instrument(c.cache, oteltokensource.WithMeterProvider(brokenMeters{}))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || registration != nil {
				t.Fatalf("got %v, %v, want the error %q", registration, err, c.want)
			}
			if c.cache != nil && c.cache.OnEvent != nil {
				t.Error("OnEvent was set")
			}
		})
	}
}

// instrumented returns a Cache with a valid token, and the same one measured.
func instrumented(tb testing.TB) (plain, measured *tokensource.Cache) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(time.Hour)})
	plain, measured = &tokensource.Cache{Source: source}, &tokensource.Cache{Source: source}
	reader := sdkmetric.NewManualReader()
	if _, err := oteltokensource.Instrument(measured,
		oteltokensource.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
		oteltokensource.WithTracerProvider(sdktrace.NewTracerProvider())); err != nil {
		tb.Fatal(err)
	}
	for _, cache := range []*tokensource.Cache{plain, measured} {
		tb.Cleanup(func() { cache.Close() })
		if _, err := cache.Token(); err != nil {
			tb.Fatal(err)
		}
	}
	return plain, measured
}

func TestAReadAllocatesNoMore(t *testing.T) {
	plain, measured := instrumented(t)
	allocations := func(cache *tokensource.Cache) float64 {
		return testing.AllocsPerRun(1000, func() {
			if _, err := cache.TokenContext(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
	if before, now := allocations(plain), allocations(measured); now != before {
		t.Errorf("a read allocates %v times, %v times without Instrument", now, before)
	}
}

func BenchmarkRead(b *testing.B) {
	plain, measured := instrumented(b)
	for _, bb := range []struct {
		name  string
		cache *tokensource.Cache
	}{{"plain", plain}, {"instrumented", measured}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bb.cache.TokenContext(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
