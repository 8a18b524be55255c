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
	for name, c := range map[string]struct {
		wrap func(oauth2.TokenSource) oauth2.TokenSource
		left int // calls of the source that may go on
	}{
		"of a source that takes a context":   {func(src oauth2.TokenSource) oauth2.TokenSource { return src }, 0},
		"of a source that cannot be stopped": {func(src oauth2.TokenSource) oauth2.TokenSource { return contextless{src} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: time.Hour, latency: 10 * time.Second}
				cache := &tokensource.Cache{Source: c.wrap(src), OnToken: func(context.Context, *oauth2.Token) error {
					t.Error("OnToken was called after Close")
					return nil
				}}
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
				cache.Close()
				if time.Since(start) != 0 {
					t.Fatalf("Close took %v", time.Since(start))
				}
				callers.Wait()
				wantClosed(t, ask(t.Context(), cache))
				time.Sleep(time.Hour)
				wantCalls(t, src, 1)
				if c.left == 0 && src.context(1).Err() == nil {
					t.Fatal("the source's context goes on")
				}
			})
		})
	}
}

// Row 34: single-use tokens never shared
func TestCloseDuringASingleUseCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{}
		cache := &tokensource.Cache{Source: newFlinksPay(10*time.Second, 0).Flinks, OnToken: h.onToken}
		var callers sync.WaitGroup
		callers.Go(func() {
			for _, a := range crowd(t.Context(), cache, 5) {
				if !errors.Is(a.err, tokensource.ErrClosed) || a.waited != time.Second {
					t.Errorf("got %q, %v after %v", a.access, a.err, a.waited)
				}
			}
		})
		time.Sleep(time.Second)
		cache.Close()
		callers.Wait()
		h.wantTold(t)
		time.Sleep(time.Minute) // the endpoint's own end
	})
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
