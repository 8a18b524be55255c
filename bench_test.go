package tokensource_test

// What a token costs, next to golang.org/x/oauth2 and to the least that any
// cache could do.

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

func BenchmarkToken(b *testing.B) {
	source := &scriptedSource{lifetime: time.Hour}
	cache := &tokensource.Cache{Source: source}
	var floor atomic.Pointer[oauth2.Token]
	floor.Store(&oauth2.Token{Expiry: time.Now().Add(time.Hour)})
	through := func(src oauth2.TokenSource) func(*testing.PB) {
		return func(pb *testing.PB) {
			for pb.Next() {
				if _, err := src.Token(); err != nil {
					b.Error(err)
				}
			}
		}
	}
	for _, bb := range []struct {
		name string
		loop func(*testing.PB)
	}{
		{"Cache", func(pb *testing.PB) { // inlined: the copy stays on the stack
			for pb.Next() {
				if _, err := cache.Token(); err != nil {
					b.Error(err)
				}
			}
		}},
		{"Cache through oauth2.TokenSource", through(cache)},
		{"ReuseTokenSource", through(oauth2.ReuseTokenSource(nil, source))},
		{"floor", func(pb *testing.PB) { // an atomic load and a look at the clock
			for pb.Next() {
				if tok := floor.Load(); time.Now().UnixNano() > tok.Expiry.UnixNano() {
					b.Error("expired")
				}
			}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(bb.loop)
		})
	}
}

// answering is a Base that costs nothing. As net/http's transport does, it makes
// a response for each attempt and says which that is; since there is one at a
// time, always in the same place, so that what is counted are the allocations of
// the transport above.
type answering struct{ last *http.Response }

func (a answering) RoundTrip(req *http.Request) (*http.Response, error) {
	*a.last = http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}
	return a.last, nil
}

// stub is a Base that shares one response, as stubs in tests do. The Transport
// copies it, oauth2.Transport does not.
type stub struct{ shared *http.Response }

func (s stub) RoundTrip(*http.Request) (*http.Response, error) { return s.shared, nil }

// BenchmarkRoundTrip has the transports take turns, a block of requests each, so
// that what else the machine does slows all of them. It reports medians. The
// allocations are counted by TestAllocations.
func BenchmarkRoundTrip(b *testing.B) {
	source := &scriptedSource{lifetime: time.Hour}
	base := answering{new(http.Response)}
	shared := stub{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	one := http.Header{"Accept": {"application/json"}}
	five := http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"program/1.0"},
		"Idempotency-Key": {"1b671a64-40d5-491e-99b0-da01ff1f3341"},
		"Traceparent":     {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	for _, request := range []struct {
		name   string
		base   http.RoundTripper
		header http.Header
	}{
		{"1 header", base, one},
		{"5 headers", base, five},
		{"1 header, shared response", shared, one},
	} {
		b.Run(request.name, func(b *testing.B) {
			req, err := http.NewRequest(http.MethodPost, "https://api.example/path", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header = request.header
			transports := []http.RoundTripper{
				&oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, source), Base: request.base},
				&tokensource.Transport{Source: &tokensource.Cache{Source: source}, Base: request.base},
				&tokensource.Transport{
					Source: &tokensource.Cache{Source: source}, Base: request.base, Origins: []string{"https://api.example"},
				},
			}
			blocks := make([][]float64, len(transports)) // ns per request
			for b.Loop() {
				for i, transport := range transports {
					const block = 1000
					start := time.Now()
					for range block {
						if _, err := transport.RoundTrip(req); err != nil {
							b.Fatal(err)
						}
					}
					blocks[i] = append(blocks[i], float64(time.Since(start))/block)
				}
			}
			median := func(i int) float64 {
				slices.Sort(blocks[i])
				return blocks[i][len(blocks[i])/2]
			}
			b.ReportMetric(0, "ns/op") // of three blocks
			b.ReportMetric(median(0), "oauth2-ns")
			b.ReportMetric(median(1)/median(0), "of-oauth2")
			b.ReportMetric(median(2)/median(0), "of-oauth2-with-Origins")
		})
	}
}

const tokenEndpoint = 500 * time.Millisecond

// rollover has 64 callers use a source for a while. It returns how many of
// their calls took longer than tolerance, and the longest.
func rollover(tb testing.TB, token func() (*oauth2.Token, error), pace, duration, tolerance time.Duration) (waited int64, longest time.Duration) {
	if _, err := token(); err != nil { // the very first call has to wait
		tb.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(duration)
	for range 64 {
		wg.Go(func() {
			for start := time.Now(); start.Before(end); start = time.Now() {
				if _, err := token(); err != nil {
					tb.Error(err)
				}
				if wait := time.Since(start); wait > tolerance {
					mu.Lock()
					waited, longest = waited+1, max(longest, wait)
					mu.Unlock()
				}
				<-time.After(pace)
			}
		})
	}
	wg.Wait()
	return waited, longest
}

// BenchmarkRollover tells how many of 64 callers are held up when a token
// expires. Expiry margins are the same.
func BenchmarkRollover(b *testing.B) {
	const lifetime = 2 * time.Second
	for _, bb := range []struct {
		name string
		wrap func(*scriptedSource) oauth2.TokenSource
	}{
		{"Cache", func(s *scriptedSource) oauth2.TokenSource {
			return &tokensource.Cache{Source: s, EarlyRefresh: lifetime / 2}
		}},
		{"ReuseTokenSource", func(s *scriptedSource) oauth2.TokenSource {
			return oauth2.ReuseTokenSourceWithExpiry(nil, s, lifetime/10)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var waited, n int64
			var longest time.Duration
			for b.Loop() {
				source := bb.wrap(&scriptedSource{latency: tokenEndpoint, lifetime: lifetime})
				w, l := rollover(b, source.Token, 5*time.Millisecond, lifetime, tokenEndpoint/10)
				waited, longest, n = waited+w, max(longest, l), n+1
			}
			b.ReportMetric(float64(waited)/float64(n), "waits/op")
			b.ReportMetric(longest.Seconds()*1e3, "longest-wait-ms")
		})
	}
}

// The same in virtual time, with a lifetime as Blackhawk's.
func TestRolloverHoldsNobodyUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wrap   func(*scriptedSource) func() (*oauth2.Token, error)
		waited int64
		want   time.Duration
	}{
		{"Cache", func(s *scriptedSource) func() (*oauth2.Token, error) {
			return (&tokensource.Cache{Source: s}).Token
		}, 0, 0},
		{"ReuseTokenSource", func(s *scriptedSource) func() (*oauth2.Token, error) {
			// The bubble's clock stands still while a caller waits for its
			// mutex. A channel in front of it does the same.
			lock, source := make(chan struct{}, 1), oauth2.ReuseTokenSource(nil, s)
			return func() (*oauth2.Token, error) {
				lock <- struct{}{}
				defer func() { <-lock }()
				return source.Token()
			}
		}, 64, tokenEndpoint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &scriptedSource{latency: tokenEndpoint, lifetime: 600 * time.Second}
				waited, longest := rollover(t, tt.wrap(source), time.Second, 650*time.Second, 0)
				if waited != tt.waited || longest != tt.want {
					t.Errorf("%d callers waited, up to %v; want %d, %v", waited, longest, tt.waited, tt.want)
				}
				wantCalls(t, source, 2)
			})
		})
	}
}

// A call during a hold: it fails at once, and reads no credentials.
func BenchmarkHeldCall(b *testing.B) {
	cache := &tokensource.Cache{Source: &scriptedSource{reply: failing(1, always, &tokensource.Error{Status: 429, RetryAfter: time.Hour, Err: errors.New("busy")}, 0)}}
	defer cache.Close()
	cache.Token()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cache.Token(); err == nil {
			b.Fatal("a token")
		}
	}
}

// What an idle Cache costs while the timer of its token is pending.
func BenchmarkIdleCache(b *testing.B) {
	const n = 20_000
	caches := make([]*tokensource.Cache, n)
	src := &scriptedSource{lifetime: time.Hour}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range caches {
		caches[i] = &tokensource.Cache{Source: tokensource.TokenFunc(src.fixed)}
		if _, err := caches[i].Token(); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() { // there is nothing to be timed
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/cache")
	for _, c := range caches {
		c.Close()
	}
}

// fixed is a token as long as a provider's, without a note of the call.
func (s *scriptedSource) fixed(context.Context) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "0123456789012345678901234567890123456789", Expiry: time.Now().Add(s.lifetime)}, nil
}
