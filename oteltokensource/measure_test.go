package oteltokensource_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
)

// brokenStore does not work.
type brokenStore struct{}

var errStore = errors.New("the disk is full")

func (brokenStore) Load(context.Context, string) ([]byte, time.Duration, error) {
	return nil, 0, errStore
}
func (brokenStore) Save(context.Context, string, []byte, time.Duration) error { return errStore }
func (brokenStore) Delete(context.Context, string, []byte) error              { return errStore }
func (brokenStore) TryLock(context.Context, string) (context.Context, func(), error) {
	return nil, nil, errStore
}

// memoryStore is what other processes share; it has no fault.
type memoryStore struct{ sync.Map }

type memoryEntry struct {
	value  []byte
	expiry time.Time
}

func (s *memoryStore) Load(_ context.Context, key string) ([]byte, time.Duration, error) {
	if e, ok := s.Map.Load(key); ok {
		if e := e.(memoryEntry); time.Now().Before(e.expiry) {
			return e.value, time.Until(e.expiry), nil
		}
	}
	return nil, 0, tokensource.ErrNotFound
}

func (s *memoryStore) Save(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.Store(key, memoryEntry{value, time.Now().Add(ttl)})
	return nil
}

func (s *memoryStore) Delete(_ context.Context, key string, _ []byte) error {
	s.Map.Delete(key)
	return nil
}

func (s *memoryStore) TryLock(ctx context.Context, _ string) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func TestMetrics(t *testing.T) {
	outage := func(r *rig) {
		r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 503, Header: map[string][]string{"Retry-After": {"60"}}})
	}
	for name, c := range map[string]struct {
		run  func(*testing.T, *rig)
		want []string
	}{
		"nothing asked for yet": {func(t *testing.T, r *rig) {}, nil},
		"one token for many calls": {func(t *testing.T, r *rig) {
			for range 100 {
				r.token(t)
			}
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s",
		}},
		"a refresh in the background": {func(t *testing.T, r *rig) {
			r.token(t)
			time.Sleep(time.Until(r.cache.Status().NextRefresh) + latency)
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 2 1s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s",
		}},
		"an unused token that has expired": {func(t *testing.T, r *rig) {
			r.cache.Synchronous = true
			r.token(t)
			time.Sleep(11 * time.Minute)
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.token.expiration_time{provider=blackhawk} in -1m0.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s",
		}},
		"an outage: one request, calls that fail at once": {func(t *testing.T, r *rig) {
			outage(r)
			for range 5 {
				if _, err := r.cache.Token(); err == nil {
					t.Error("there was a token")
				}
			}
		}, []string{
			"tokensource.refresh.duration{error.type=503,provider=blackhawk,result=failed} 1 0s",
			"tokensource.refresh.holds{provider=blackhawk} 4",
			"tokensource.wait.duration{error.type=503,provider=blackhawk} 1 0s",
		}},
		"a rejected token": {func(t *testing.T, r *rig) {
			r.cache.Invalidate(r.token(t))
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.token.invalidations{provider=blackhawk} 1",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s",
		}},
		"a replacement that is rejected as well, and kept": {func(t *testing.T, r *rig) {
			r.cache.Invalidate(r.token(t))
			r.cache.Invalidate(r.token(t))
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 2 1s",
			"tokensource.refresh.holds{provider=blackhawk} 1",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.token.invalidations{provider=blackhawk} 1",
			"tokensource.wait.duration{provider=blackhawk} 2 1s",
		}},
		"a source that caches by itself": {func(t *testing.T, r *rig) {
			r.cache.Source = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "the same", Expiry: time.Now().Add(10 * time.Minute)})
			r.token(t)
			time.Sleep(10*time.Minute - 30*time.Second)
			r.cache.Close()
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0s",
			"tokensource.refresh.duration{provider=blackhawk,result=unchanged} 2 0s",
			"tokensource.wait.duration{provider=blackhawk} 1 0s",
		}},
		"another process's token": {func(t *testing.T, r *rig) {
			store := &memoryStore{}
			other := &tokensource.Cache{Source: r.source(), Store: store}
			if _, err := other.Token(); err != nil {
				t.Fatal(err)
			}
			other.Close()
			r.cache.Store = store
			r.token(t)
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=loaded} 1 0s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0s",
		}},
		"a caller whose time ran out": {func(t *testing.T, r *rig) {
			ctx, cancel := context.WithTimeout(t.Context(), latency/5)
			defer cancel()
			if _, err := r.cache.TokenContext(ctx); err == nil {
				t.Error("there was a token")
			}
			time.Sleep(latency)
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.4s",
			"tokensource.wait.duration{error.type=timeout,provider=blackhawk} 1 0.1s",
		}},
		"a store that does not work": {func(t *testing.T, r *rig) {
			r.cache.Store = brokenStore{}
			r.token(t)
		}, []string{
			"tokensource.refresh.duration{provider=blackhawk,result=fetched} 1 0.5s",
			"tokensource.store.failures{provider=blackhawk} 1",
			"tokensource.token.expiration_time{provider=blackhawk} in 9m59.5s",
			"tokensource.wait.duration{provider=blackhawk} 1 0.5s",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.instrument(t)
				c.run(t, r)
				r.wantMetrics(t, c.want...)
			})
		})
	}
}

func TestReadyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cache.Source = &tokensource.Flinks{
			Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
			BaseURL:     r.sandbox.URL, HTTPClient: r.sandbox.Client(),
		}
		r.cache.Ready = 3
		r.instrument(t)
		r.wantMetrics(t, "tokensource.tokens.ready{provider=flinks} 0")
		r.token(t)
		r.wantMetrics(t,
			"tokensource.refresh.duration{provider=flinks,result=fetched} 4 0s",
			"tokensource.tokens.ready{provider=flinks} 3",
			"tokensource.wait.duration{provider=flinks} 1 0s")
	})
}

func TestErrorTypes(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		setUp func(*rig)
		want  string
	}{
		"credentials rejected": {sandbox.Fault{Status: 401}, nil, "credentials"},
		"no credentials": {sandbox.Fault{}, func(r *rig) {
			source := r.source()
			source.Credentials = tokensource.EnvCredentials("NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE")
			r.cache.Source = source
		}, "credentials"},
		"plain http": {sandbox.Fault{}, func(r *rig) {
			source := r.source()
			source.BaseURL = "http://bhn.example"
			r.cache.Source = source
		}, "insecure"},
		"rate limit":            {sandbox.Fault{Status: 429}, nil, "429"},
		"outage":                {sandbox.Fault{Status: 502}, nil, "502"},
		"redirect":              {sandbox.Fault{Status: 307}, nil, "307"},
		"refused":               {sandbox.Fault{Status: 400, Code: "invalid_scope"}, nil, "400"},
		"refused with a 200":    {sandbox.Fault{Body: `{"error": "invalid_scope", "success": false}`}, nil, "refused"},
		"an HTML page":          {sandbox.Fault{Body: "<html>"}, nil, "unavailable"},
		"the connection breaks": {sandbox.Fault{Break: true}, nil, "unavailable"},
		"no answer in time": {sandbox.Fault{Delay: time.Hour}, func(r *rig) {
			r.cache.FetchTimeout = 10 * time.Second
		}, "timeout"},
		"a hook that fails": {sandbox.Fault{}, func(r *rig) {
			r.cache.OnToken = func(context.Context, *oauth2.Token) error { return errors.New("not now") }
		}, "_OTHER"},
		"a panic": {sandbox.Fault{}, func(r *rig) {
			r.cache.Source = tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) { panic("oh") })
		}, "_OTHER"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, c.fault)
				if c.setUp != nil {
					c.setUp(r)
				}
				r.instrument(t)
				_, err := r.cache.Token()
				lines := r.metrics(t)
				if len(lines) != 2 || err == nil {
					t.Fatalf("error %v, metrics %q", err, lines)
				}
				for _, line := range lines {
					if !strings.Contains(line, "{error.type="+c.want+",") && !strings.Contains(line, "{error.type="+c.want+"}") {
						t.Errorf("got %s, want the error.type %s of: %v", line, c.want, err)
					}
				}
			})
		})
	}
}

func TestACallThatLeavesIsNoFailedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.instrument(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(latency/2, cancel)
		if _, err := r.cache.TokenContext(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		r.wantMetrics(t, "tokensource.wait.duration{error.type=canceled,provider=blackhawk} 1 0.25s")
	})
}

func TestASpanForEachRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.instrument(t, oteltokensource.WithAttributes(attribute.String("source", "payments")))
		r.sandbox.Script(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 503, Delay: latency})
		request := func() trace.SpanContext {
			ctx, span := r.tracers.Tracer("test").Start(t.Context(), "request")
			defer span.End()
			r.cache.TokenContext(ctx)
			return span.SpanContext()
		}
		refreshes := func() (spans []sdktrace.ReadOnlySpan) {
			synctest.Wait()
			for _, span := range r.spans.Ended() {
				if span.Name() == "tokensource.refresh" {
					spans = append(spans, span)
				}
			}
			r.spans.Reset()
			return spans
		}
		// only returns the one refresh since the last time.
		only := func(end time.Time, took time.Duration, attrs ...attribute.KeyValue) sdktrace.ReadOnlySpan {
			t.Helper()
			spans := refreshes()
			if len(spans) != 1 {
				t.Fatalf("%d spans, want 1", len(spans))
			}
			s := spans[0]
			if s.Parent().IsValid() {
				t.Error("it has a parent")
			}
			if !s.EndTime().Equal(end) || s.EndTime().Sub(s.StartTime()) != took {
				t.Errorf("from %v to %v, want %v to %v", s.StartTime(), s.EndTime(), end.Add(-took), end)
			}
			got, want := attribute.NewSet(s.Attributes()...), attribute.NewSet(append(attrs,
				attribute.String("provider", "blackhawk"), attribute.String("source", "payments"))...)
			if !got.Equals(&want) {
				t.Errorf("attributes %v, want %v", s.Attributes(), attrs)
			}
			return s
		}

		// A request that waits, for two attempts.
		begin, caller := time.Now(), request()
		took := time.Since(begin)
		if took < 2*latency {
			t.Fatalf("two attempts took %v", took)
		}
		s := only(time.Now(), took, attribute.String("result", "fetched"), attribute.Int("attempts", 2))
		if links := s.Links(); len(links) != 1 || !links[0].SpanContext.Equal(caller) {
			t.Errorf("links to %v, want to the request", links)
		}
		if s.SpanContext().TraceID() == caller.TraceID() {
			t.Error("it is in the trace of the request")
		}
		if s.Status().Code != codes.Unset {
			t.Errorf("status %v", s.Status())
		}
		r.wantExemplars(t, map[string]trace.SpanContext{
			"tokensource.refresh.duration": s.SpanContext(),
			"tokensource.wait.duration":    caller,
		})

		// In the background.
		opens := r.cache.Status().NextRefresh
		time.Sleep(time.Until(opens) + latency)
		s = only(time.Now(), latency, attribute.String("result", "fetched"), attribute.Int("attempts", 1))
		if links := s.Links(); len(links) != 0 {
			t.Errorf("links to %v", links)
		}

		// A failure.
		r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 400, Code: "invalid_scope"})
		time.Sleep(time.Until(r.cache.Status().Expiry)) // the token was not used
		caller = request()
		s = only(time.Now(), 0, attribute.String("result", "failed"), attribute.Int("attempts", 1), attribute.String("error.type", "400"))
		if want := (sdktrace.Status{Code: codes.Error}); s.Status() != want {
			t.Errorf("status %+v, want %+v", s.Status(), want)
		}
		if links := s.Links(); len(links) != 1 || !links[0].SpanContext.Equal(caller) {
			t.Errorf("links to %v, want to the request", links)
		}

		// Held: no refresh.
		request()
		if spans := refreshes(); len(spans) != 0 {
			t.Errorf("%d spans of a call that failed at once", len(spans))
		}

		// A caller that has left by the end of the refresh may have ended its span.
		r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Delay: latency})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), latency/2)
		defer cancel()
		ctx, span := r.tracers.Tracer("test").Start(ctx, "request")
		r.cache.TokenContext(ctx)
		span.End()
		time.Sleep(latency)
		s = only(time.Now().Add(-latency/2), latency, attribute.String("result", "fetched"), attribute.Int("attempts", 1))
		if links := s.Links(); len(links) != 0 {
			t.Errorf("links to %v", links)
		}
	})
}

// wantExemplars wants the one exemplar of each histogram to lead to a span.
func (r *rig) wantExemplars(t *testing.T, want map[string]trace.SpanContext) {
	t.Helper()
	found := 0
	for _, m := range r.collect(t).ScopeMetrics[0].Metrics {
		data, ok := m.Data.(metricdata.Histogram[float64])
		if !ok {
			continue
		}
		for _, p := range data.DataPoints {
			for _, e := range p.Exemplars {
				found++
				if id := want[m.Name].SpanID(); !bytes.Equal(e.SpanID, id[:]) {
					t.Errorf("%s leads to the span %x, want %v", m.Name, e.SpanID, id)
				}
			}
		}
	}
	if found != len(want) {
		t.Errorf("%d exemplars, want %d", found, len(want))
	}
}

// Whatever the provider answers, no secret of any kind is exported.
func TestNothingSecretIsExported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cache.Store, r.cache.StoreKey = &memoryStore{}, tokensource.Secret("store-key-77aa")
		r.instrument(t)
		tok := r.token(t)
		echo := fmt.Sprintf("unknown client %s, secret %s, token %s", sandbox.ID, sandbox.Secret, tok.AccessToken)
		for _, fault := range []sandbox.Fault{
			{Status: 400, Code: "invalid_scope", Message: echo},
			{Status: 401, Message: echo},
			{Status: 500, Body: echo},
			{Body: echo},
			{Break: true},
			{},
		} {
			r.sandbox.Always(sandbox.Blackhawk, sandbox.Token, fault)
			r.cache.Invalidate(tok)
			time.Sleep(15 * time.Minute)
			if fresh, err := r.cache.Token(); err == nil {
				tok = fresh
			}
			r.cache.Token()
		}
		var text strings.Builder
		fmt.Fprintf(&text, "%+v", r.collect(t))
		for _, span := range r.spans.Ended() {
			attributes, err := json.Marshal(span.Attributes())
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(&text, "%s %s %+v %+v", span.Name(), attributes, span.Status(), span.Events())
		}
		exported := text.String()
		if !strings.Contains(exported, "400") || !strings.Contains(exported, "blackhawk") {
			t.Fatalf("too little was exported: %s", exported)
		}
		for _, secret := range []string{sandbox.ID, sandbox.Secret, tok.AccessToken, "store-key-77aa", "bhn.example", "/api/auth", "unknown client"} {
			if strings.Contains(exported, secret) {
				t.Errorf("%q was exported", secret)
			}
		}
	})
}
