package tokensource_test

// Close: nothing happens behind the program's back afterwards.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

func wantClosed(t *testing.T, a answer) {
	t.Helper()
	if !errors.Is(a.err, tokensource.ErrClosed) || a.waited != 0 {
		t.Fatalf("got %q, %v after %v; want ErrClosed at once", a.access, a.err, a.waited)
	}
	asError(t, a.err)
}

func TestCloseStopsTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		wantToken(t, cache, "token-1")
		for range 2 {
			if err := cache.Close(); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, ask(t.Context(), cache))
		}
		cache.Invalidate(tokenNo(1))
		wantClosed(t, ask(t.Context(), cache))
		time.Sleep(24 * time.Hour)
		wantCalls(t, src, 1)
	})
}

func TestCloseBeforeTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		cache.Close()
		wantClosed(t, ask(t.Context(), cache))
		wantCalls(t, src, 0)
	})
}

// Whoever asks again after an outage and a Close must hear of the Close.
func TestCloseDuringAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(1, always, errRefusal, 0)}
		cache := &tokensource.Cache{Source: src}
		ask(t.Context(), cache)
		cache.Close()
		wantClosed(t, ask(t.Context(), cache))
	})
}

func TestCloseDuringAFlight(t *testing.T) {
	const latency = 10 * time.Second
	for name, src := range map[string]oauth2.TokenSource{
		"of a source that takes a context":   &scriptedSource{latency: latency},
		"of a source that cannot be stopped": contextless{&scriptedSource{latency: latency}},
		"of single-use tokens":               newFlinksPay(latency, 0).Flinks,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hook{}
				cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
				var callers sync.WaitGroup
				callers.Go(func() {
					for _, a := range crowd(t.Context(), cache, 5) {
						if !errors.Is(a.err, tokensource.ErrClosed) || a.waited != time.Second {
							t.Errorf("a waiter got %q, %v after %v", a.access, a.err, a.waited)
						}
					}
				})
				time.Sleep(time.Second)
				start := time.Now()
				if cache.Close(); time.Since(start) != 0 {
					t.Errorf("Close took %v", time.Since(start))
				}
				callers.Wait()
				wantClosed(t, ask(t.Context(), cache))
				time.Sleep(time.Minute) // the source ends by itself
				h.wantTold(t)
			})
		})
	}
}

// A program that closes its database after the Cache must not see it used by
// what the Cache left behind.
func TestCloseWaitsForWhatItStops(t *testing.T) {
	var tidied atomic.Bool
	work := func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond)
		tidied.Store(true)
		return ctx.Err()
	}
	hook := func(ctx context.Context, _ *oauth2.Token) error { return work(ctx) }
	for name, cache := range map[string]*tokensource.Cache{
		"the source":                             {Source: contextSource(func(ctx context.Context) (*oauth2.Token, error) { return nil, work(ctx) })},
		"OnToken":                                {Source: &scriptedSource{}, OnToken: hook},
		"OnToken, of a source without a context": {Source: contextless{&scriptedSource{}}, OnToken: hook},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tidied.Store(false)
				cache.OnEvent = func(e tokensource.Event) {
					t.Errorf("Close was reported as %q: %v", e.Kind, e.Err)
				}
				go ask(t.Context(), cache)
				synctest.Wait()
				var closers sync.WaitGroup
				for range 2 {
					closers.Go(func() {
						if cache.Close(); !tidied.Load() {
							t.Error("still at work when Close returned")
						}
					})
				}
				closers.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

type contextSource func(context.Context) (*oauth2.Token, error)

func (f contextSource) Token() (*oauth2.Token, error) { return f(context.Background()) }

func (f contextSource) TokenContext(ctx context.Context) (*oauth2.Token, error) { return f(ctx) }

// Calls, rejections and Close in any order: for -race, and for whoever hangs.
func TestCloseAmongBusyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 2 * time.Second, latency: 10 * time.Millisecond}
		cache := &tokensource.Cache{Source: src}
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				for {
					tok, err := cache.TokenContext(t.Context())
					if errors.Is(err, tokensource.ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("caller %d got %v", i, err)
						return
					}
					if i == 0 {
						cache.Invalidate(tok)
					}
					time.Sleep(time.Duration(i+1) * 7 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Minute)
		cache.Close()
		callers.Wait()
		after := len(src.calls())
		time.Sleep(time.Hour)
		wantCalls(t, src, after)
	})
}
