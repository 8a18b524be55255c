package tokensource_test

// A flight: one for all callers, each of whom may leave it, and what it does
// about sources that fail, hang or crash.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/storetest"
)

func TestOneRequestServesAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour, latency: 700 * time.Millisecond}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		for _, a := range crowd(t.Context(), cache, 100) {
			if a.err != nil || a.access != "token-1" || a.waited != src.latency {
				t.Fatalf("a caller got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		wantCalls(t, src, 1)
	})
}

// golang/oauth2#262, open since 2017: a request that had 50 ms came back after
// the 700 ms that the token endpoint took.
func TestWaiterLeavesOnItsOwnContext(t *testing.T) {
	why := errors.New("the user went away")
	for name, c := range map[string]struct {
		leave  func(context.Context) (context.Context, context.CancelFunc)
		want   error
		waited time.Duration
	}{
		"its deadline passes": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, context.DeadlineExceeded, 50 * time.Millisecond},
		"it is cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
			return ctx, func() { cancel(nil) }
		}, context.Canceled, 50 * time.Millisecond},
		"it had ended before the call": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		}, context.DeadlineExceeded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: time.Hour, latency: 700 * time.Millisecond}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				var others sync.WaitGroup
				others.Go(func() {
					for _, a := range crowd(t.Context(), cache, 5) {
						if a.err != nil || a.access != "token-1" {
							t.Errorf("another caller got %q, %v", a.access, a.err)
						}
					}
				})
				synctest.Wait()
				ctx, cancel := c.leave(t.Context())
				defer cancel()
				a := ask(ctx, cache)
				if !errors.Is(a.err, c.want) || a.waited != c.waited {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				asError(t, a.err)
				others.Wait()
				wantCalls(t, src, 1)
			})
		})
	}
}

// aws-sdk-go-v2#503, authzed/spicedb#925: the first caller's cancellation took
// the others along.
func TestCancelledLeaderHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var asked context.Context
		var during any
		src := &scriptedSource{lifetime: time.Hour, latency: 700 * time.Millisecond, sees: func(ctx context.Context) {
			asked, during = ctx, ctx.Value(key{})
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		leader, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "of the leader"))
		var callers sync.WaitGroup
		callers.Go(func() {
			if a := ask(leader, cache); !errors.Is(a.err, context.Canceled) || a.waited != 50*time.Millisecond {
				t.Errorf("the leader got %q, %v after %v", a.access, a.err, a.waited)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			if a := ask(t.Context(), cache); a.err != nil || a.waited != src.latency {
				t.Errorf("the follower got %q, %v after %v", a.access, a.err, a.waited)
			}
		})
		time.Sleep(50 * time.Millisecond)
		cancel()
		callers.Wait()
		wantCalls(t, src, 1)
		if during != "of the leader" {
			t.Fatalf("the source was called with the value %v", during)
		}
		// Its context may be another request's by now.
		if got := asked.Value(key{}); got != nil {
			t.Fatalf("after the leader has left, the refresh sees the value %v", got)
		}
	})
}

func TestFetchTimeout(t *testing.T) {
	for name, c := range map[string]struct{ configured, want time.Duration }{
		"default":    {0, 30 * time.Second},
		"configured": {2 * time.Second, 2 * time.Second},
		"negative":   {-1, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{latency: time.Hour}
				cache := &tokensource.Cache{Source: src, FetchTimeout: c.configured}
				a := ask(t.Context(), cache)
				if a.waited != c.want || !errors.Is(a.err, context.DeadlineExceeded) || !strings.Contains(a.err.Error(), "FetchTimeout") {
					t.Fatalf("got %v after %v", a.err, a.waited)
				}
				if !asError(t, a.err).Temporary() {
					t.Fatal("an endpoint that is too slow today may well answer tomorrow")
				}
			})
		})
	}
}

// aws-sdk-go#3127: each attempt on an endpoint that hangs left a goroutine.
// A source that takes no context cannot be stopped; it is not asked a second
// time while it owes an answer, and the answer is used when it comes.
func TestHungSourceWithoutContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour, latency: 40 * time.Minute}
		cache := &tokensource.Cache{Source: contextless{src}, FetchTimeout: 5 * time.Second}
		defer cache.Close()
		begin := time.Now()
		goroutines := runtime.NumGoroutine()
		for time.Since(begin) < 39*time.Minute {
			for _, a := range crowd(t.Context(), cache, 10) {
				if a.err == nil || a.waited > cache.FetchTimeout {
					t.Fatalf("a caller got %q, %v after %v", a.access, a.err, a.waited)
				}
			}
			time.Sleep(time.Second)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 5 {
			t.Fatalf("%d goroutines more than before", n)
		}
		time.Sleep(time.Minute + 30*time.Second)
		wantCalls(t, src, 1)
		wantToken(t, cache, "token-1")
	})
}

// guardedProvider does all it does under one lock.
type guardedProvider struct {
	mu     sync.Mutex
	answer chan struct{} // closed when the network is back
}

func (p *guardedProvider) Token() (*oauth2.Token, error) { return p.TokenContext(context.Background()) }

func (p *guardedProvider) TokenContext(context.Context) (*oauth2.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	<-p.answer
	return nil, errOutage
}

func (p *guardedProvider) Endpoint() *tokensource.Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &tokensource.Endpoint{Provider: "acme", URL: "https://auth.example/token"}
}

// A provider that hangs cannot be asked for its name either. (Not in a bubble,
// for which the wait for a mutex is no rest.)
func TestFetchTimeoutOfAProviderThatHangsUnderItsLock(t *testing.T) {
	p := &guardedProvider{answer: make(chan struct{})}
	cache := &tokensource.Cache{Source: p, FetchTimeout: time.Millisecond}
	failed := make(chan error, 1)
	go func() {
		_, err := cache.Token()
		failed <- err
	}()
	select {
	case err := <-failed:
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "FetchTimeout (1ms) from https://auth.example") {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the call hangs as its provider does")
	}
	close(p.answer)
	cache.Close()
}

// The answer may also come so late that its token has expired since.
func TestLateAnswerThatExpiredMeanwhileIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			tok, err := lasting(call, 5*time.Minute)
			if call == 1 {
				time.Sleep(40 * time.Second)
			}
			return tok, err
		}}
		cache := &tokensource.Cache{Source: contextless{src}}
		defer cache.Close()
		if a := ask(t.Context(), cache); a.err == nil {
			t.Fatalf("got %q within FetchTimeout", a.access)
		}
		time.Sleep(time.Hour)
		if a := ask(t.Context(), cache); a.access != "token-2" {
			t.Fatalf("an hour after the answer, a token for 5 minutes: got %q, %v", a.access, a.err)
		}
	})
}

// A late answer may also ask for patience.
func TestRetryAfterOfALateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			if call == 1 {
				time.Sleep(40 * time.Second)
				return nil, &tokensource.Error{Status: 429, RetryAfter: time.Minute, Err: errors.New("busy")}
			}
			return lasting(call, time.Hour)
		}}
		cache := &tokensource.Cache{Source: contextless{src}}
		defer cache.Close()
		if a := ask(t.Context(), cache); !errors.Is(a.err, context.DeadlineExceeded) {
			t.Fatalf("got %q, %v", a.access, a.err)
		}
		time.Sleep(15 * time.Second)
		for range 11 {
			if a := ask(t.Context(), cache); a.err == nil || asError(t, a.err).Status != 429 || a.waited != 0 {
				t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
			}
			time.Sleep(5 * time.Second)
		}
		wantCalls(t, src, 1)
		time.Sleep(5 * time.Second)
		wantToken(t, cache, "token-2")
	})
}

func TestTriesWithinOneFlight(t *testing.T) {
	refused := &http.Response{StatusCode: 400}
	unavailable := &http.Response{StatusCode: 503}
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"the provider is failing":          {errOutage, 3},
		"the provider limits the rate":     {&tokensource.Error{Status: 429, RetryAfter: 100 * time.Millisecond}, 3},
		"it does not say for how long":     {&tokensource.Error{Status: 429}, 1},
		"the provider timed out":           {&tokensource.Error{Status: 408}, 3},
		"the answer is unreadable":         {&tokensource.Error{Status: 200, Err: errors.New("an HTML page")}, 3},
		"the network is down":              {&url.Error{Op: "Post", Err: errors.New("connection refused")}, 3},
		"a foreign source, 503":            {&oauth2.RetrieveError{Response: unavailable}, 3},
		"a foreign source, 503, wrapped":   {fmt.Errorf("vault: %w", &oauth2.RetrieveError{Response: unavailable}), 3},
		"the provider refused the request": {errRefusal, 1},
		"the provider rejected the secret": {&tokensource.Error{Status: 401, Err: tokensource.ErrCredentials}, 1},
		"a foreign source, 400":            {&oauth2.RetrieveError{Response: refused}, 1},
		"an untrusted certificate":         {&url.Error{Op: "Post", Err: &tls.CertificateVerificationError{Err: errors.New("unknown authority")}}, 1},
		"a mistake in the configuration":   {errors.New("no such file"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{reply: failing(1, always, c.err, 0)}
				cache := &tokensource.Cache{Source: src}
				a := ask(t.Context(), cache)
				if asError(t, a.err); !errors.Is(a.err, c.err) {
					t.Fatalf("got error %v, the source said %v", a.err, c.err)
				}
				calls := src.calls()
				wantCalls(t, src, c.tries)
				for i := range c.tries - 1 {
					wantBetween(t, "pause", calls[i+1].Sub(calls[i]), 0, 200*time.Millisecond<<i)
				}
				wantBetween(t, "all of it", a.waited, 0, 600*time.Millisecond)
			})
		})
	}
}

func TestTriesSucceedWithoutTheCallerNoticing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := map[time.Duration]bool{}
		for range 20 {
			src := &scriptedSource{reply: failing(1, 2, errOutage, time.Hour)}
			cache := &tokensource.Cache{Source: src}
			if a := ask(t.Context(), cache); a.err != nil || a.access != "token-3" {
				t.Fatalf("got %q, %v", a.access, a.err)
			}
			pauses[src.calls()[1].Sub(src.calls()[0])] = true
			cache.Close()
		}
		if len(pauses) < 10 {
			t.Fatalf("20 pauses of %d lengths: a fleet would march in step", len(pauses))
		}
	})
}

// wrapper is an error that was not meant to be nil.
type wrapper struct{ err error }

func (w *wrapper) Error() string { return w.err.Error() }
func (w *wrapper) Unwrap() error { return w.err }

// golang/go#41133, #52557: a panic in singleflight takes the process, a Goexit
// its waiters. In Azure's cache the call after a panic hung.
func TestCrashOfSourceOrHookIsAnErrorForAllWaiters(t *testing.T) {
	type fault struct {
		says string
		fail func() (*oauth2.Token, error)
	}
	crashes := map[string]fault{
		"panics":               {"panic: index out of range", func() (*oauth2.Token, error) { panic("index out of range") }},
		"panics with nil":      {"panic", func() (*oauth2.Token, error) { panic(nil) }},
		"panics with an error": {"out of order", func() (*oauth2.Token, error) { panic(errOutage) }},
		"fails with an error that panics when it is unwrapped": {"nil pointer", func() (*oauth2.Token, error) {
			return nil, &tokensource.Error{Status: 400, Err: (*wrapper)(nil)}
		}},
		"ends its goroutine": {"runtime.Goexit", func() (*oauth2.Token, error) { runtime.Goexit(); return nil, nil }},
	}
	lies := map[string]fault{
		"returns nothing":             {"neither", func() (*oauth2.Token, error) { return nil, nil }},
		"returns a token without one": {"neither", func() (*oauth2.Token, error) { return &oauth2.Token{TokenType: "Bearer"}, nil }},
	}
	test := func(name string, inHook bool, f fault) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{latency: time.Second}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				failed := false
				if inHook {
					cache.OnToken = func(context.Context, *oauth2.Token) (err error) {
						if !failed {
							failed = true
							_, err = f.fail()
						}
						return err
					}
				} else {
					src.reply = func(call int) (*oauth2.Token, error) {
						if call == 1 {
							return f.fail()
						}
						return lasting(call, time.Hour)
					}
				}
				for _, a := range crowd(t.Context(), cache, 5) {
					if text := asError(t, a.err).Error(); a.waited != src.latency || !strings.Contains(text, f.says) {
						t.Fatalf("a waiter got %q, %v after %v", a.access, a.err, a.waited)
					}
				}
				time.Sleep(time.Second) // the hold
				if a := ask(t.Context(), cache); a.err != nil {
					t.Fatalf("the next call got %v", a.err)
				}
			})
		})
	}
	for what, f := range crashes {
		test("the source "+what, false, f)
		test("OnToken "+what, true, f)
	}
	for what, f := range lies {
		test("the source "+what, false, f)
	}
}

func TestCacheWithoutSourceSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ask(t.Context(), &tokensource.Cache{})
		asError(t, a.err)
		if !strings.Contains(a.err.Error(), "Source is not set") {
			t.Fatalf("got %v", a.err)
		}
	})
}

// An answer that had expired on arrival let each of 200 callers send a request
// of its own, and ended the early refresh.
func TestTokenThatExpiredOnArrivalIsAFailure(t *testing.T) {
	for name, expired := range map[string]*oauth2.Token{
		"an hour ago":                           {AccessToken: "old", Expiry: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"an hour ago, and says that it is fine": {AccessToken: "old", Expiry: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), ExpiresIn: 3600},
		"in the moment of its issue":            {AccessToken: "old", Expiry: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name+", at a first fetch", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{latency: time.Second, reply: func(call int) (*oauth2.Token, error) {
					if call == 1 {
						return expired, nil
					}
					return lasting(call, time.Hour)
				}}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				for _, a := range crowd(t.Context(), cache, 200) {
					if e := asError(t, a.err); !strings.Contains(e.Error(), "had expired when it arrived") || a.waited != src.latency {
						t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
					}
				}
				wantCalls(t, src, 1)
				time.Sleep(time.Second)
				for _, a := range crowd(t.Context(), cache, 200) {
					if a.err != nil || a.access != "token-2" {
						t.Fatalf("got %q, %v", a.access, a.err)
					}
				}
				wantCalls(t, src, 2)
			})
		})
	}
	t.Run("in the early window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
				if call == 2 {
					return lasting(call, -time.Hour)
				}
				return lasting(call, 30*time.Minute)
			}}
			cache := &tokensource.Cache{Source: src}
			defer cache.Close()
			wantToken(t, cache, "token-1")
			time.Sleep(time.Until(tokensource.WindowOpens(cache)))
			for range 100 {
				wantToken(t, cache, "token-1")
			}
			time.Sleep(time.Second)
			wantToken(t, cache, "token-3")
			wantCalls(t, src, 3)
		})
	})
}

// OnToken: a program learns of each new token before any caller sees it, and no
// token is lost where that fails.

// hook saves tokens; its disk is full for the calls from first to last.
type hook struct {
	takes       time.Duration
	first, last int

	mu   sync.Mutex
	told []string
}

var errDiskFull = errors.New("disk full")

func (h *hook) onToken(_ context.Context, tok *oauth2.Token) error {
	time.Sleep(h.takes)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, tok.AccessToken)
	tok.AccessToken, tok.Expiry = "scribbled over", time.Time{} // its own copy
	if call := len(h.told); h.first <= call && call <= h.last {
		return errDiskFull
	}
	return nil
}

func (h *hook) wantTold(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.told, want) {
		t.Fatalf("OnToken was told %q, want %q", h.told, want)
	}
}

// golang/oauth2#84 (open since 2015), golang/go#77502: no hook tells of a
// refreshed token, so it cannot be saved.
func TestOnTokenIsToldEachNewTokenBeforeAnyCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{takes: time.Second}
		src := &scriptedSource{lifetime: 10 * time.Minute}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		for _, a := range crowd(t.Context(), cache, 5) {
			if a.err != nil || a.access != "token-1" || a.waited != h.takes {
				t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		h.wantTold(t, "token-1")
		for len(src.calls()) == 1 { // until the timer's refresh
			time.Sleep(500 * time.Millisecond)
			wantToken(t, cache, "token-1")
		}
		h.wantTold(t, "token-1")
		time.Sleep(h.takes)
		h.wantTold(t, "token-1", "token-2")
		wantToken(t, cache, "token-2")
	})
}

func TestOnTokenErrorKeepsTheTokenBackAndCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 4}
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		for range h.last {
			for _, a := range crowd(t.Context(), cache, 5) {
				if e := asError(t, a.err); !errors.Is(e, errDiskFull) || e.Temporary() {
					t.Fatalf("got %q, %v", a.access, a.err)
				}
			}
			time.Sleep(10 * time.Second) // longer than the holds: 1, 2, 4 and 8 s
		}
		wantToken(t, cache, "token-1")
		wantCalls(t, src, 1)
		h.wantTold(t, "token-1", "token-1", "token-1", "token-1", "token-1")
	})
}

func TestOnTokenErrorOfAnEarlyRefreshLeavesTheValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 2, last: 4}
		src := &scriptedSource{lifetime: 10 * time.Minute}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(time.Until(tokensource.WindowOpens(cache)) + 2*time.Second)
		wantToken(t, cache, "token-1")
		time.Sleep(10 * time.Second) // the holds: 1, 2 and 4 s
		wantToken(t, cache, "token-2")
		wantCalls(t, src, 2)
		h.wantTold(t, "token-1", "token-2", "token-2", "token-2", "token-2")
	})
}

// With a Store the approval may come while the hold lasts. The failure that it
// ends kept every rejection of the token from counting.
func TestOnTokenApprovesDuringTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 1}
		cache := &tokensource.Cache{
			Source: &scriptedSource{lifetime: time.Hour}, OnToken: h.onToken,
			Store: (&storetest.Memory{}).Handle(), StoreKey: tokensource.Secret("key"),
		}
		defer cache.Close()
		if a := ask(t.Context(), cache); !errors.Is(a.err, errDiskFull) {
			t.Fatalf("got %q, %v", a.access, a.err)
		}
		time.Sleep(500 * time.Millisecond) // half of the hold
		wantToken(t, cache, "token-1")
		if st := cache.Status(); st.Err != nil || !st.HeldUntil.IsZero() {
			t.Errorf("the refresh succeeded, and Status says %v, held until %v", st.Err, st.HeldUntil)
		}
		time.Sleep(time.Minute)
		cache.Invalidate(tokenNo(1))
		wantToken(t, cache, "token-2")
	})
}

// A token that was kept back until it expired is no use.
func TestOnTokenThatFailsUntilTheTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 1}
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: 10 * time.Minute}, OnToken: h.onToken}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(time.Hour)
		wantToken(t, cache, "token-2")
		h.wantTold(t, "token-1", "token-2")
	})
}

// A hook that hangs is left like a source that does, and its late answer counts.
// A hook is never called with a context that has ended: what it would save with
// it would not be saved.
func TestOnTokenAndFetchTimeout(t *testing.T) {
	for name, c := range map[string]struct{ source, hook time.Duration }{
		"the hook hangs": {0, time.Minute},
		"the source answers after the fetch's end":    {time.Minute, 0},
		"the source uses up most of the fetch's time": {29 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hook{takes: c.hook}
				src := &scriptedSource{lifetime: time.Hour, latency: c.source}
				cache := &tokensource.Cache{Source: contextless{src}, OnToken: func(ctx context.Context, tok *oauth2.Token) error {
					if ctx.Err() != nil {
						t.Errorf("OnToken was called with a context that had ended: %v", context.Cause(ctx))
					}
					return h.onToken(ctx, tok)
				}}
				defer cache.Close()
				if a := ask(t.Context(), cache); !errors.Is(a.err, context.DeadlineExceeded) || a.waited != 30*time.Second {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				time.Sleep(time.Minute)
				wantToken(t, cache, "token-1")
				wantCalls(t, src, 1)
				h.wantTold(t, "token-1")
			})
		})
	}
}

func TestOnTokenOfASingleUseToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 1}
		cache := &tokensource.Cache{Source: newFlinksPay(0, 0).Flinks, OnToken: h.onToken}
		asError(t, ask(t.Context(), cache).err)
		time.Sleep(time.Second)
		wantToken(t, cache, "token-2") // the first had no caller and is not kept
		wantToken(t, cache, "token-3")
		h.wantTold(t, "token-1", "token-2", "token-3")
	})
}
