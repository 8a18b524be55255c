package tokensource_test

// A flight: one for all callers, each of whom may leave it; what it does about
// sources that fail, hang or crash; and those that no caller waits for: by timer
// while a token is in use, and none at all if Synchronous or Close says so.

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
	"weak"

	"github.com/jarcoal/httpmock"
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

// lateRefusal asks for a minute's patience, 10 s after FetchTimeout.
func lateRefusal(call int) (*oauth2.Token, error) {
	if call == 1 {
		time.Sleep(40 * time.Second)
		return nil, &tokensource.Error{Status: 429, RetryAfter: time.Minute, Err: errors.New("busy")}
	}
	return lasting(call, time.Hour)
}

// A late answer may also ask for patience.
func TestRetryAfterOfALateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: lateRefusal}
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

// That patience was asked for when the answer came, not when a call takes it up.
func TestRetryAfterThatIsOverOfALateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: lateRefusal}
		cache := &tokensource.Cache{Source: contextless{src}}
		defer cache.Close()
		asError(t, ask(t.Context(), cache).err)
		time.Sleep(time.Hour)
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

func TestTokenInUseIsRefreshedAlthoughNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute, latency: time.Second}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(9*time.Minute + 49*time.Second)
		wantCalls(t, src, 2)
		wantToken(t, cache, "token-2")
	})
}

// A program that has gone quiet must not go on asking for tokens.
func TestUnusedTokenLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute}
		cache := &tokensource.Cache{Source: src} // not closed: the bubble ends only if no goroutine is left
		ask(t.Context(), cache)
		time.Sleep(24 * time.Hour)
		wantCalls(t, src, 2)
		if a := ask(t.Context(), cache); a.err != nil || a.access != "token-3" {
			t.Fatalf("after a day: %q, %v", a.access, a.err)
		}
		time.Sleep(24 * time.Hour)
		wantCalls(t, src, 4)
	})
}

// golang/oauth2#388, grpc-go#1238: a refresh an hour later failed because it
// used the context of the call that came first. Its HTTP client is wanted, the
// rest of it is that call's, and may be another one's by then.
func TestTimersRefreshKeepsTheHTTPClientOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		client := &http.Client{}
		var clients, values []any
		src := &scriptedSource{lifetime: time.Hour, sees: func(ctx context.Context) {
			clients, values = append(clients, ctx.Value(oauth2.HTTPClient)), append(values, ctx.Value(key{}))
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "of the first caller"), time.Second)
		ask(context.WithValue(ctx, oauth2.HTTPClient, client), cache)
		cancel()
		time.Sleep(59 * time.Minute)
		wantCalls(t, src, 2)
		wantToken(t, cache, "token-2")
		if !slices.Equal(clients, []any{client, client}) || !slices.Equal(values, []any{"of the first caller", nil}) {
			t.Fatalf("the source saw the clients %v and the values %v", clients, values)
		}
	})
}

// dayOf counts a virtual day of a busy service: several goroutines, a token
// endpoint that takes half a second. Each request must begin in the instant in
// which the early window of the token before opens, and no call but the first
// may wait.
func dayOf(t *testing.T, newSource func(*http.Client) oauth2.TokenSource, answer func() (int, string)) {
	const latency = 500 * time.Millisecond
	var mu sync.Mutex
	var began, windows []time.Time
	wire := httpmock.NewMockTransport()
	wire.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
		mu.Lock()
		began = append(began, time.Now())
		mu.Unlock()
		date := time.Now().UTC().Format(http.TimeFormat)
		time.Sleep(latency)
		status, body := answer()
		resp := httpmock.NewStringResponse(status, body)
		resp.Header.Set("Date", date)
		return resp, nil
	})
	cache := &tokensource.Cache{Source: newSource(&http.Client{Transport: wire})}
	cache.OnEvent = func(_ context.Context, e tokensource.Event) {
		if e.Kind == tokensource.EventFetched {
			mu.Lock()
			defer mu.Unlock()
			windows = append(windows, tokensource.WindowOpens(cache))
		}
	}
	morning := time.Now()
	night := morning.Add(24 * time.Hour)
	if first := ask(t.Context(), cache); first.err != nil || first.waited != latency {
		t.Fatalf("the first call took %v, error %v", first.waited, first.err)
	}
	var service sync.WaitGroup
	for _, pause := range []time.Duration{3, 5, 7, 11} {
		service.Go(func() {
			for time.Now().Before(night) {
				if a := ask(t.Context(), cache); a.err != nil || a.waited != 0 {
					t.Errorf("%v into the day a call took %v, error %v", time.Since(morning), a.waited, a.err)
					return
				}
				time.Sleep(min(pause*time.Second, time.Until(night)))
			}
		})
	}
	service.Wait()
	cache.Close()

	windows = slices.DeleteFunc(windows, night.Before)
	if want := append([]time.Time{morning}, windows...); !slices.EqualFunc(began, want, time.Time.Equal) {
		t.Fatalf("%d token requests at %v\nwant %d, when the windows opened: %v", len(began), began, len(want), want)
	}
	t.Logf("%d token requests", len(began))
}

func TestVirtualDay(t *testing.T) {
	creds := tokensource.StaticCredentials("id", "secret")
	for name, run := range map[string]func(*testing.T){
		"Blink, 1800 s": func(t *testing.T) {
			dayOf(t, func(c *http.Client) oauth2.TokenSource {
				return &tokensource.Blink{Credentials: creds, HTTPClient: c}
			}, func() (int, string) {
				// The answer's own Date is half a second earlier.
				return 201, fmt.Sprintf(`{"access_token": "a", "expired_on": %q}`,
					time.Now().Add(30*time.Minute).UTC().Truncate(time.Second).Format(time.RFC3339))
			})
		},
		"Flinks reusable, 599 s": func(t *testing.T) {
			dayOf(t, func(c *http.Client) oauth2.TokenSource {
				return &tokensource.Flinks{Credentials: creds, BaseURL: "https://flinks.example", Reusable: true, HTTPClient: c}
			}, func() (int, string) { return 200, `{"access_token": "a", "token_type": "bearer", "expires_in": 599}` })
		},
		"Blackhawk, 600 s": func(t *testing.T) {
			dayOf(t, func(c *http.Client) oauth2.TokenSource {
				return &tokensource.Blackhawk{Credentials: creds, BaseURL: "bhn.example", HTTPClient: c}
			}, func() (int, string) { return 200, `{"access_token": "a", "token_type": "Bearer", "expires_in": 600}` })
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
	}
}

// For serverless functions, which are frozen between calls: nothing happens but
// within a call.
func TestSynchronousOneCallerRefreshesTheOthersTakeTheValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute, latency: time.Second}
		cache := &tokensource.Cache{Source: src, Synchronous: true}
		ask(t.Context(), cache)
		time.Sleep(9*time.Minute + 30*time.Second)
		wantCalls(t, src, 1) // no timer
		var refreshed, served int
		for _, a := range crowd(t.Context(), cache, 20) {
			switch {
			case a.err == nil && a.access == "token-2" && a.waited == time.Second:
				refreshed++
			case a.err == nil && a.access == "token-1" && a.waited == 0:
				served++
			default:
				t.Fatalf("a caller got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		if refreshed != 1 || served != 19 {
			t.Fatalf("%d callers refreshed the token, %d took the valid one", refreshed, served)
		}
		wantCalls(t, src, 2)
	})
}

func TestSynchronousFailedRefreshReturnsTheValidToken(t *testing.T) {
	for name, c := range map[string]struct {
		left    time.Duration // of the token, when the refresh begins
		latency time.Duration
		want    string
	}{
		"the token is still valid afterwards":  {time.Minute, time.Second, "token-1"},
		"the token expires during the refresh": {11 * time.Second, 20 * time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{reply: failing(2, always, errRefusal, 10*time.Minute)}
				cache := &tokensource.Cache{Source: src, Synchronous: true}
				wantToken(t, cache, "token-1")
				src.latency = c.latency
				time.Sleep(10*time.Minute - c.left)
				a := ask(t.Context(), cache)
				if a.access != c.want || (a.err == nil) != (c.want != "") {
					t.Fatalf("got %q, %v; the token had %v left when the refresh ended", a.access, a.err, c.left-c.latency)
				}
				if c.want != "" { // and it is not tried again at once
					wantToken(t, cache, c.want)
				}
				wantCalls(t, src, 2)
			})
		})
	}
}

func TestSynchronousCallerWhoseContextEndsTakesTheValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute, latency: time.Second}
		cache := &tokensource.Cache{Source: src, Synchronous: true}
		ask(t.Context(), cache)
		time.Sleep(9 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if a := ask(ctx, cache); a.err != nil || a.access != "token-1" || a.waited != 50*time.Millisecond {
			t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
		}
		time.Sleep(time.Second)
		wantToken(t, cache, "token-2") // the refresh was not in vain
	})
}

// A token that the API rejected while its refresh was failing is not valid.
func TestSynchronousFailedRefreshDoesNotReturnARejectedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, always, errRefusal, 10*time.Minute)}
		cache := &tokensource.Cache{Source: src, Synchronous: true}
		wantToken(t, cache, "token-1")
		src.latency = 2 * time.Second
		time.Sleep(9 * time.Minute)
		time.AfterFunc(time.Second, func() { cache.Invalidate(tokenNo(1)) })
		if a := ask(t.Context(), cache); !errors.Is(a.err, errRefusal.Err) {
			t.Fatalf("got %q, %v", a.access, a.err)
		}
	})
}

// An overloaded endpoint may take nearly as long as its tokens last, or longer:
// what it returns is handed out, not refreshed over and over.
func TestSourceThatIsAsSlowAsItsTokensAreShort(t *testing.T) {
	for name, latency := range map[string]time.Duration{
		"arrives in its early window":      8500 * time.Millisecond,
		"arrives when callers should stop": 9500 * time.Millisecond,
	} {
		for mode, synchronous := range map[string]bool{"in the background": false, "synchronous": true} {
			t.Run(name+", "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					src := &scriptedSource{lifetime: 10 * time.Second, latency: latency}
					cache := &tokensource.Cache{Source: src, Synchronous: synchronous}
					defer cache.Close()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					for range 3 {
						if a := ask(ctx, cache); a.err != nil || a.waited > 2*latency {
							t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
						}
					}
				})
			})
		}
	}
}

// A call that found a new token to be refreshed between its publication and the
// end of the flight joined the dying flight: no timer, no retry, every call on
// the slow path, and callers waited at the expiry.
func TestNoRefreshIsLost(t *testing.T) {
	type hooks struct {
		latency time.Duration
		onEvent func(*tokensource.Cache) func(context.Context, tokensource.Event)
	}
	for name, h := range map[string]hooks{
		"tokens arrive inside their early window": {latency: 9 * time.Second},
		"OnEvent takes 1 ms": {onEvent: func(*tokensource.Cache) func(context.Context, tokensource.Event) {
			return func(context.Context, tokensource.Event) { time.Sleep(time.Millisecond) }
		}},
		"OnEvent asks the Cache": {onEvent: func(c *tokensource.Cache) func(context.Context, tokensource.Event) {
			return func(context.Context, tokensource.Event) { c.Token() }
		}},
		"both, slowly": {latency: 9 * time.Second, onEvent: func(c *tokensource.Cache) func(context.Context, tokensource.Event) {
			return func(context.Context, tokensource.Event) { c.Token(); time.Sleep(10 * time.Second) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: 40 * time.Second, latency: h.latency}
				cache := &tokensource.Cache{Source: src, EarlyRefresh: 20 * time.Second}
				if h.onEvent != nil {
					cache.OnEvent = h.onEvent(cache)
				}
				defer cache.Close()
				ask(t.Context(), cache)
				begin := time.Now()
				for time.Since(begin) < 10*time.Minute {
					for _, a := range crowd(t.Context(), cache, 3) {
						if a.err != nil || a.waited > 10*time.Second { // OnEvent's time, on the caller's goroutine
							t.Fatalf("%v after the first token: %q, %v after %v", time.Since(begin), a.access, a.err, a.waited)
						}
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := len(src.calls()); n < 14 || n > 32 {
					t.Fatalf("%d requests in 10 minutes, of tokens that are refreshed after 20 to 24 s", n)
				}
			})
		})
	}
}

// x/oauth2's clientcredentials.Config.TokenSource caches by itself: each copy of
// one token got new times, up to 60 ms before its end.
func TestSourceThatCachesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 30 * time.Minute
		inner := &scriptedSource{lifetime: lifetime, latency: 100 * time.Millisecond}
		var mu sync.Mutex
		kinds := map[tokensource.EventKind]int{}
		cache := &tokensource.Cache{
			Source: oauth2.ReuseTokenSource(nil, inner),
			OnEvent: func(_ context.Context, e tokensource.Event) {
				mu.Lock()
				defer mu.Unlock()
				kinds[e.Kind]++
			},
		}
		defer cache.Close()
		begin := time.Now()
		for time.Since(begin) < 10*lifetime {
			tok, err := cache.Token()
			if err != nil || time.Until(tok.Expiry) < 10*time.Second-time.Second {
				t.Fatalf("got %v, %v, %v before its expiry", tok, err, time.Until(tok.Expiry))
			}
			time.Sleep(700 * time.Millisecond)
		}
		n := len(inner.calls())
		mu.Lock()
		defer mu.Unlock()
		if kinds[tokensource.EventFetched] != n || kinds[tokensource.EventUnchanged] == 0 || kinds[tokensource.EventUnchanged] > 20*n {
			t.Fatalf("%d tokens, events %v", n, kinds)
		}
	})
	for name, lifetime := range map[string]time.Duration{"that expires": time.Hour, "that never expires": 0} {
		inBubble(t, "a token "+name+" was revoked and comes back", func(t *testing.T) {
			inner := &scriptedSource{lifetime: lifetime}
			var events []tokensource.EventKind
			cache := &tokensource.Cache{
				Source:  oauth2.ReuseTokenSource(nil, inner),
				OnEvent: func(_ context.Context, e tokensource.Event) { events = append(events, e.Kind) },
			}
			defer cache.Close()
			wantToken(t, cache, "token-1")
			for range 1000 {
				cache.Invalidate(tokenNo(1))
				wantToken(t, cache, "token-1") // there is no other
				time.Sleep(10 * time.Millisecond)
			}
			if n := len(slices.DeleteFunc(events, func(k tokensource.EventKind) bool { return k != tokensource.EventUnchanged })); n < 3 || n > 6 {
				t.Fatalf("the source was asked again %d times in 10 s, want after 0, 1, 3 and 7 s", n)
			}
		})
	}
}

// Some token endpoints return one token until it expires: from its hard expiry on,
// each call was a request.
func TestProviderThatReturnsOneTokenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 10 * time.Minute
		var tok *oauth2.Token
		src := &scriptedSource{latency: 20 * time.Millisecond, reply: func(call int) (*oauth2.Token, error) {
			if tok == nil || !time.Now().Before(tok.Expiry) {
				tok, _ = lasting(call, lifetime)
			}
			return tok, nil
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(lifetime - 10*time.Second)
		before, waits := len(src.calls()), 0
		for begin := time.Now(); time.Since(begin) < 11*time.Second; time.Sleep(10 * time.Millisecond) {
			a := ask(t.Context(), cache)
			if a.err != nil {
				t.Fatal(a.err)
			}
			if a.waited > 0 {
				waits++
			}
		}
		if n := len(src.calls()) - before; n > 15 || waits > n {
			t.Errorf("%d requests, %d calls waited", n, waits)
		}
	})
}

// A Cache that the program has dropped went on asking while the endpoint was
// down.
func TestUnusedTokenWhoseRefreshFailsLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, always, errRefusal, time.Hour)}
		cache := &tokensource.Cache{Source: src, EarlyRefresh: 30 * time.Minute}
		wantToken(t, cache, "token-1")
		time.Sleep(58 * time.Minute)
		wantCalls(t, src, 1+1+3)
		wantToken(t, cache, "token-1") // in use again
		synctest.Wait()
		wantCalls(t, src, 1+1+3+1)
	})
}

// A 401 in an outage threw the only token away.
func TestTokenRejectedDuringAnOutageIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, 20, errRefusal, time.Hour)}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(time.Until(tokensource.WindowOpens(cache)) + 20*time.Second)
		before := len(src.calls())
		for range 100 {
			cache.Invalidate(tokenNo(1))
			wantToken(t, cache, "token-1")
			time.Sleep(100 * time.Millisecond)
		}
		// But it may be of no use: attempts come as often as without a token.
		wantBetween(t, "attempts in 10 s", time.Duration(len(src.calls())-before), 5, 10)
		for range 20 {
			time.Sleep(2 * time.Second)
			cache.Invalidate(tokenNo(1))
			ask(t.Context(), cache)
		}
		wantToken(t, cache, "token-21")
	})
}

// The timer of a token without an expiry, 146 years ahead, kept a Cache that the
// program had dropped in memory.
func TestDroppedCacheWithoutAnExpiryIsCollected(t *testing.T) {
	farAway := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
		tok := tokenNo(call)
		tok.Expiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		return tok, nil
	}}
	for name, config := range map[string]struct {
		source oauth2.TokenSource
		ready  int
	}{
		"no expiry":              {source: &scriptedSource{}},
		"the year 9999":          {source: farAway},
		"ready tokens":           {source: mint{&scriptedSource{}}, ready: 2},
		"ready tokens from 9999": {source: mint{farAway}, ready: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache := &tokensource.Cache{Source: config.source, Ready: config.ready}
				for range 3 {
					if a := ask(t.Context(), cache); a.err != nil {
						t.Fatal(a.err)
					}
				}
				if st := cache.Status(); !st.NextRefresh.IsZero() {
					t.Errorf("the next refresh is told for %v", st.NextRefresh)
				}
				dropped := weak.Make(cache)
				time.Sleep(2 * time.Minute) // no ready token is fetched any more
				for try := 0; dropped.Value() != nil; try++ {
					if runtime.GC(); try > 20 {
						t.Fatal("the Cache is still there")
					}
				}
			})
		})
	}
}

// Its values are asked for under the lock, by the call that begins the refresh.
func TestContextThatPanicsHarmsNoOtherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}}
		defer cache.Close()
		func() {
			defer func() { recover() }() // as net/http does
			cache.TokenContext(broken{t.Context()})
			t.Error("the context did not panic")
		}()
		wantToken(t, cache, "token-1")
	})
}

type broken struct{ context.Context }

func (broken) Value(any) any { panic("out of order") }
