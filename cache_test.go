package tokensource_test

// The reads of the Cache: which token a call gets and until when, what becomes
// of a rejected one, and what Close ends.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

func TestCallersStopUsingATokenBeforeTheProviderDoes(t *testing.T) {
	for name, c := range map[string]struct{ lifetime, margin time.Duration }{
		"a request that takes a while to arrive":       {30 * time.Minute, 10 * time.Second},
		"a lifetime of which 10 s are a tenth":         {100 * time.Second, 10 * time.Second},
		"a lifetime of which 10 s would be a sixth":    {time.Minute, 6 * time.Second},
		"a lifetime that 10 s would use up altogether": {9 * time.Second, 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{reply: failing(2, always, errRefusal, c.lifetime)}
				cache := &tokensource.Cache{Source: src}
				wantToken(t, cache, "token-1")
				time.Sleep(c.lifetime - c.margin - time.Nanosecond)
				wantToken(t, cache, "token-1")
				time.Sleep(time.Nanosecond)
				if a := ask(t.Context(), cache); a.err == nil {
					t.Fatalf("got %q, %v before the provider's expiry", a.access, c.margin)
				}
			})
		})
	}
}

func TestEarlyWindow(t *testing.T) {
	for name, c := range map[string]struct{ early, lifetime, window time.Duration }{
		"default: a fifth of the lifetime":      {0, 10 * time.Minute, 2 * time.Minute},
		"default: no more than 5 minutes":       {0, 24 * time.Hour, 5 * time.Minute},
		"as configured":                         {time.Minute, 10 * time.Minute, time.Minute},
		"as configured, beyond the default":     {20 * time.Minute, time.Hour, 20 * time.Minute},
		"as long as the lifetime":               {10 * time.Minute, 10 * time.Minute, 5 * time.Minute},
		"longer than the lifetime":              {24 * time.Hour, 10 * time.Minute, 5 * time.Minute},
		"negative, which means nothing":         {-time.Minute, 10 * time.Minute, 2 * time.Minute},
		"a lifetime that names odd nanoseconds": {0, 299*time.Second + 7, (299*time.Second + 7) / 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: c.lifetime}
				cache := &tokensource.Cache{Source: src, EarlyRefresh: c.early}
				defer cache.Close()
				wantToken(t, cache, "token-1")
				time.Sleep(c.lifetime)
				calls := src.calls()
				if len(calls) != 2 {
					t.Fatalf("the source was asked %d times within one lifetime, want 2", len(calls))
				}
				before := c.lifetime - calls[1].Sub(calls[0])
				wantBetween(t, "refreshed before the expiry by", before, c.window*8/10, c.window)
			})
		})
	}
}

// x/oauth2 fetched for 10 of 10 calls, Google and AWS for 20 of 20.
func TestEarlyRefreshBeyondTheLifetimeDoesNotTurnTheCacheOff(t *testing.T) {
	for name, synchronous := range map[string]bool{"in the background": false, "synchronous": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: 10 * time.Minute}
				cache := &tokensource.Cache{Source: src, EarlyRefresh: time.Hour, Synchronous: synchronous}
				defer cache.Close()
				for range 10 {
					wantToken(t, cache, "token-1")
					time.Sleep(29 * time.Second)
				}
				wantCalls(t, src, 1)
			})
		})
	}
}

// openfga/js-sdk#331: a jitter that is drawn by each call makes the first of
// many calls in the window refresh the token: all processes at its beginning.
func TestJitterIsDrawnOncePerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const processes, lifetime, window = 200, time.Hour, 5 * time.Minute
		var fleet sync.WaitGroup
		var mu sync.Mutex
		var quarters [4]int // of the jitter's 0 to 20%
		for range processes {
			fleet.Go(func() {
				src := &scriptedSource{lifetime: lifetime}
				cache := &tokensource.Cache{Source: src, EarlyRefresh: window, Synchronous: true}
				ask(t.Context(), cache)
				opens := src.calls()[0].Add(lifetime - window)
				time.Sleep(time.Until(opens) - time.Second)
				for len(src.calls()) == 1 {
					ask(t.Context(), cache)
					time.Sleep(100 * time.Millisecond)
				}
				late := src.calls()[1].Sub(opens)
				mu.Lock()
				defer mu.Unlock()
				quarters[min(max(0, late)/(window/20), 3)]++
			})
		}
		fleet.Wait()
		for i, n := range quarters {
			if n < processes/10 { // a quarter is expected: this is 5 standard deviations below
				t.Fatalf("refreshes per quarter of the jitter: %v, quarter %d is nearly empty", quarters, i+1)
			}
		}
	})
}

func TestOddExpiries(t *testing.T) {
	year := 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		token oauth2.Token
		lasts time.Duration // while it is not asked for anew
		after time.Duration // when it has been asked for anew; 0: never
		named time.Duration // the expiry that callers see; 0: none
	}{
		"no expiry at all":               {token: oauth2.Token{}, lasts: 50 * year},
		"a lifetime and no expiry":       {oauth2.Token{ExpiresIn: 600}, 480 * time.Second, 600 * time.Second, 600 * time.Second},
		"a lifetime in milliseconds":     {oauth2.Token{ExpiresIn: 3600e3}, 23 * time.Hour, 24 * time.Hour, 24 * time.Hour},
		"a lifetime that overflows":      {oauth2.Token{ExpiresIn: 1 << 62}, 23 * time.Hour, 24 * time.Hour, 24 * time.Hour},
		"a negative lifetime, no expiry": {token: oauth2.Token{ExpiresIn: -1}, lasts: 50 * year},
		"the year 9999":                  {token: oauth2.Token{Expiry: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, lasts: 50 * year},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const latency = 3 * time.Second
				start := time.Now()
				src := &scriptedSource{latency: latency, reply: func(call int) (*oauth2.Token, error) {
					tok := c.token
					tok.AccessToken = tokenNo(call).AccessToken
					return &tok, nil
				}}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				tok, err := cache.Token()
				if err != nil {
					t.Fatal(err)
				}
				if c.named != 0 && !tok.Expiry.Equal(start.Add(c.named)) {
					t.Fatalf("expiry %v after the token was asked for, want %v", tok.Expiry.Sub(start), c.named)
				}
				if c.named == 0 && !tok.Expiry.Equal(c.token.Expiry) {
					t.Fatalf("expiry %v, the source said %v", tok.Expiry, c.token.Expiry)
				}
				time.Sleep(c.lasts - latency)
				wantToken(t, cache, "token-1")
				wantCalls(t, src, 1)
				if c.after != 0 {
					time.Sleep(c.after - c.lasts)
					wantToken(t, cache, "token-2")
				}
			})
		})
	}
}

// Two oauth2 wrappers around one token: -race reports that
// ReuseTokenSourceWithExpiry writes to what it was given.
func TestEveryCallerOwnsItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &oauth2.Token{AccessToken: "kept", Expiry: time.Now().Add(time.Hour)}
		src := &scriptedSource{reply: func(int) (*oauth2.Token, error) { return kept, nil }}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		var users sync.WaitGroup
		for _, early := range []time.Duration{time.Second, time.Minute} {
			wrapper := oauth2.ReuseTokenSourceWithExpiry(nil, cache, early)
			users.Go(func() {
				for range 100 {
					if tok, err := wrapper.Token(); err != nil || tok.AccessToken != "kept" {
						t.Errorf("got %v, %v", tok, err)
					}
				}
			})
		}
		users.Wait()
		tok, err := cache.Token()
		if err != nil {
			t.Fatal(err)
		}
		tok.AccessToken, tok.Expiry = "scribbled over", time.Time{}
		kept.AccessToken = "the source scribbles too"
		wantToken(t, cache, "kept")
	})
}

// A Cache behind x/oauth2's own wrapper asks at the end of a token's life only:
// no call may wait there.
func TestReuseTokenSourceAroundACacheNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute, latency: 500 * time.Millisecond}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		wrapper := oauth2.ReuseTokenSource(nil, cache)
		ask(t.Context(), cache)
		for range 24 * 60 * 6 {
			start := time.Now()
			if _, err := wrapper.Token(); err != nil || time.Since(start) != 0 {
				t.Fatalf("a call took %v, error %v", time.Since(start), err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := len(src.calls()); n > 24*60/8+1 {
			t.Fatalf("%d token requests in a day", n)
		}
	})
}

func TestValidTokenNeedsNoLiveContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if a := ask(gone, cache); a.err != nil || a.access != "token-1" {
			t.Fatalf("a valid token was there, got %q, %v", a.access, a.err)
		}
	})
}

// kubernetes#99324: a 401 that came late threw away the token that had replaced
// the rejected one.
func TestInvalidateForgetsExactlyTheRejectedToken(t *testing.T) {
	for name, c := range map[string]struct {
		rejected *oauth2.Token
		want     string
		calls    int
	}{
		"the current token":               {tokenNo(2), "token-3", 3},
		"the one before, by a late 401":   {tokenNo(1), "token-2", 2},
		"a token that was never issued":   {tokenNo(99), "token-2", 2},
		"none":                            {nil, "token-2", 2},
		"one that is empty":               {&oauth2.Token{}, "token-2", 2},
		"the current one, scribbled over": {&oauth2.Token{AccessToken: "token-2", TokenType: "mac"}, "token-3", 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{lifetime: time.Hour}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				cache.Invalidate(tokenNo(2)) // before there is any
				wantToken(t, cache, "token-1")
				cache.Invalidate(tokenNo(1))
				wantToken(t, cache, "token-2")
				time.Sleep(time.Minute)
				cache.Invalidate(c.rejected)
				wantToken(t, cache, c.want)
				wantCalls(t, src, c.calls)
			})
		})
	}
}

func TestManyCallersRejectingOneTokenCostOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour, latency: 500 * time.Millisecond}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		tok, err := cache.Token()
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				// The API's answers arrive before, during and after the refresh.
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				cache.Invalidate(tok)
				if a := ask(t.Context(), cache); a.err != nil || a.access != "token-2" {
					t.Errorf("caller %d got %q, %v", i, a.access, a.err)
				}
			})
		}
		callers.Wait()
		wantCalls(t, src, 2)
	})
}

// A token that is rejected while its refresh is under way is replaced by that
// refresh, not by a second one.
func TestInvalidateDuringARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 10 * time.Minute, latency: 5 * time.Second}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		ask(t.Context(), cache)
		for len(src.calls()) < 2 {
			time.Sleep(time.Second)
		}
		cache.Invalidate(tokenNo(1))
		for _, a := range crowd(t.Context(), cache, 5) {
			if a.err != nil || a.access != "token-2" || a.waited > src.latency {
				t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		wantCalls(t, src, 2)
	})
}

// An API that rejects everything (a wrong audience, a suspended merchant) must
// not turn every request into a token request, nor take the token away from
// those requests that it still serves.
func TestProviderOfRejectedTokensIsAskedOncePerHold(t *testing.T) {
	for name, reply := range map[string]func(int) (*oauth2.Token, error){
		"another token each time":  func(call int) (*oauth2.Token, error) { return lasting(call, time.Hour) },
		"the same token each time": func(int) (*oauth2.Token, error) { return lasting(1, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const every = 100 * time.Millisecond
				src := &scriptedSource{reply: reply}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				for len(src.calls()) < len(holds)+2 {
					tok, err := cache.Token()
					if err != nil {
						t.Fatal(err)
					}
					cache.Invalidate(tok)
					time.Sleep(every)
				}
				wantHolds(t, src.calls()[1:], every) // the first replacement comes at once
			})
		})
	}
}

// A few tokens that were revoked in one day are not a pattern.
func TestRejectionsFarApartAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		for call := 1; call <= 20; call += 2 {
			wantToken(t, cache, tokenNo(call).AccessToken)
			cache.Invalidate(tokenNo(call))
			wantToken(t, cache, tokenNo(call+1).AccessToken)
			time.Sleep(time.Second)
			cache.Invalidate(tokenNo(call + 1))
			time.Sleep(35 * time.Second)
		}
	})
}

func TestRejectedTokenThatNobodyReplacesIsNotRefreshedEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		wantToken(t, cache, "token-1")
		cache.Invalidate(tokenNo(1))
		time.Sleep(24 * time.Hour)
		wantCalls(t, src, 1)
	})
}

// A caller may reject a token while it is on its way to another caller.
func TestWaiterDoesNotGetATokenThatWasRejectedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}}
		defer cache.Close()
		cache.OnEvent = func(_ context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventFetched {
				cache.Invalidate(tokenNo(1))
			}
		}
		wantToken(t, cache, "token-2")
	})
}

// Nor if there is another one by then.
func TestWaiterDoesNotGetATokenThatWasReplacedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}}
		defer cache.Close()
		cache.OnEvent = func(_ context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventFetched {
				cache.Invalidate(tokenNo(1))
				if answers := crowd(t.Context(), cache, 1); answers[0].access != "token-2" {
					t.Errorf("another caller got %q, %v", answers[0].access, answers[0].err)
				}
			}
		}
		wantToken(t, cache, "token-2")
	})
}

func TestReplacementOfARejectedTokenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, 2, errRefusal, time.Hour)}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		cache.Invalidate(tokenNo(1))
		if a := ask(t.Context(), cache); !errors.Is(a.err, errRefusal.Err) {
			t.Fatalf("got %q, %v: a rejected token does not come back", a.access, a.err)
		}
		time.Sleep(time.Second)
		wantToken(t, cache, "token-3")
		time.Sleep(59 * time.Minute)
		wantCalls(t, src, 4) // the timer of the first token is gone, that of the third is not
	})
}

type refresher struct {
	*scriptedSource
	earlier atomic.Pointer[oauth2.Token]
}

func (r *refresher) Refresh(ctx context.Context, earlier *oauth2.Token) (*oauth2.Token, error) {
	r.earlier.Store(earlier)
	return r.TokenContext(ctx)
}

// OnToken saves an id_token, a refresh needs a handle that came with the token
// before: plain texts, which no copy has to be made of.
func TestHookAndRefreshSeeTheExtraFields(t *testing.T) {
	for name, extra := range map[string]map[string]any{
		"texts only":        {"id_token": "x"},
		"a list among them": {"id_token": "x", "payment_types": []any{"card"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Pointer[oauth2.Token]
				src := &refresher{scriptedSource: &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
					tok, err := lasting(call, time.Hour)
					return tok.WithExtra(extra), err
				}}}
				cache := &tokensource.Cache{Source: src, OnToken: func(_ context.Context, tok *oauth2.Token) error {
					told.Store(tok)
					return nil
				}}
				defer cache.Close()
				wantToken(t, cache, "token-1")
				if id := told.Load().Extra("id_token"); id != "x" {
					t.Errorf("OnToken saw the id_token %v", id)
				}
				time.Sleep(59 * time.Minute)
				wantToken(t, cache, "token-2")
				if id := src.earlier.Load().Extra("id_token"); id != "x" {
					t.Errorf("Refresh saw the id_token %v", id)
				}
			})
		})
	}
}

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

// A call after an outage and a Close must get ErrClosed.
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
				cache.OnEvent = func(_ context.Context, e tokensource.Event) {
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

// Calls, rejections and Close in any order: for -race, and for a call that hangs.
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

// legacyBlink is the token endpoint; it keeps a list of what it was asked for.
type legacyBlink struct {
	requests      []string // "create", "refresh token-1"
	refreshStatus int
}

func (l *legacyBlink) cache() *tokensource.Cache {
	tok := func(status int) (*http.Response, error) {
		return httpmock.NewStringResponse(status, fmt.Sprintf(`{"access_token": "token-%d", "expired_on": %q}`,
			len(l.requests), time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339))), nil
	}
	wire := httpmock.NewMockTransport()
	wire.RegisterResponder("POST", "https://blink.example/api/v1/pay/token", func(*http.Request) (*http.Response, error) {
		l.requests = append(l.requests, "create")
		return tok(200)
	})
	wire.RegisterResponder("POST", "https://blink.example/api/v1/pay/token/refresh", func(req *http.Request) (*http.Response, error) {
		var message map[string]string
		err := json.NewDecoder(req.Body).Decode(&message)
		l.requests = append(l.requests, "refresh "+message["access_token"])
		if err != nil || len(message) != 1 {
			return httpmock.NewStringResponse(400, ""), err
		}
		return tok(l.refreshStatus)
	})
	return &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials("key", "secret"),
		BaseURL:     "https://blink.example", Legacy: true, HTTPClient: &http.Client{Transport: wire},
	}}
}

func TestLegacyBlinkTokenIsRefreshed(t *testing.T) {
	for name, c := range map[string]struct {
		wait       time.Duration
		invalidate bool
		status     int
		want       []string
	}{
		"by timer, in the early window":              {29 * time.Minute, false, 200, []string{"create", "refresh token-1"}},
		"with an earlier token that has expired":     {2 * time.Hour, false, 200, []string{"create", "refresh token-1", "refresh token-2"}},
		"a token that the API rejected is no ticket": {0, true, 200, []string{"create", "create"}},
		"refused (400): created in the same flight":  {29 * time.Minute, false, 400, []string{"create", "refresh token-1", "create"}},
		"refused (401): created in the same flight":  {29 * time.Minute, false, 401, []string{"create", "refresh token-1", "create"}},
		"gone (404): created in the same flight":     {29 * time.Minute, false, 404, []string{"create", "refresh token-1", "create"}},
		"failing (503): the second try creates one":  {29 * time.Minute, false, 503, []string{"create", "refresh token-1", "create"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := &legacyBlink{refreshStatus: c.status}
				cache := endpoint.cache()
				defer cache.Close()
				tok, err := cache.Token()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.wait)
				if c.invalidate {
					cache.Invalidate(tok)
				}
				a := ask(t.Context(), cache)
				if want := tokenNo(len(c.want)).AccessToken; a.err != nil || a.access != want {
					t.Fatalf("got %q, %v, want %q", a.access, a.err, want)
				}
				if !slices.Equal(endpoint.requests, c.want) {
					t.Fatalf("requests %q, want %q", endpoint.requests, c.want)
				}
			})
		})
	}
}

// The second token of the pair lapses unused; the next caller must get a token
// even so, whatever the endpoint makes of the expired one.
func TestLegacyBlinkRefreshOfAnExpiredTokenFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &legacyBlink{refreshStatus: 200}
		cache := endpoint.cache()
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		endpoint.refreshStatus = 403
		wantToken(t, cache, "token-4")
		want := []string{"create", "refresh token-1", "refresh token-2", "create"}
		if !slices.Equal(endpoint.requests, want) {
			t.Fatalf("requests %q, want %q", endpoint.requests, want)
		}
	})
}

// A refresh needs no keys, so the chain of refreshes would outlive the keys
// that it began with.
func TestLegacyBlinkTokenIsCreatedAnewWithRotatedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &legacyBlink{refreshStatus: 200}
		cache := l.cache()
		cache.Synchronous = true
		key := "key"
		cache.Source.(*tokensource.Blink).Credentials = func(context.Context) (string, string, error) { return key, "secret", nil }
		for _, key = range []string{"key", "key", "rotated key", "rotated key"} {
			if a := ask(t.Context(), cache); a.err != nil {
				t.Fatal(a.err)
			}
			time.Sleep(2 * time.Hour)
		}
		want := []string{"create", "refresh token-1", "create", "refresh token-3"}
		if !slices.Equal(l.requests, want) {
			t.Errorf("requests %q, want %q", l.requests, want)
		}
	})
}

// After Close nothing is asked, and nothing told.
func TestNothingHappensAfterClose(t *testing.T) {
	for name, cache := range map[string]*tokensource.Cache{
		"in a hold":             {Source: &scriptedSource{reply: failing(1, always, errRefusal, 0)}},
		"with a token":          {Source: &scriptedSource{lifetime: time.Hour}},
		"during a refresh":      {Source: &scriptedSource{latency: time.Minute}},
		"single use":            {Source: mint{&scriptedSource{latency: time.Minute}}},
		"with ready tokens":     {Source: mint{&scriptedSource{lifetime: time.Hour}}, Ready: 5},
		"a source that is slow": {Source: contextless{&scriptedSource{latency: time.Minute}}},
		"credentials that hang": {Source: &tokensource.Blackhawk{BaseURL: "bhn.example", HTTPClient: &http.Client{Transport: rejecting()},
			Credentials: hangingCredentials()}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var closed atomic.Bool
				cache.OnEvent = func(_ context.Context, e tokensource.Event) {
					if closed.Load() {
						t.Errorf("told of %q", e.Kind)
					}
				}
				var callers sync.WaitGroup
				for range 3 {
					callers.Go(func() { ask(t.Context(), cache) })
					time.Sleep(10 * time.Millisecond)
				}
				start := time.Now()
				cache.Close()
				closed.Store(true)
				if time.Since(start) != 0 {
					t.Errorf("Close took %v", time.Since(start))
				}
				callers.Wait()
				src, _ := cache.Source.(*scriptedSource)
				for range 3 {
					wantClosed(t, ask(t.Context(), cache))
				}
				if src != nil {
					n := len(src.calls())
					time.Sleep(time.Hour)
					wantCalls(t, src, n)
				}
				time.Sleep(2 * time.Minute) // what cannot be stopped ends by itself
			})
		})
	}
}

func hangingCredentials() tokensource.Credentials {
	var calls atomic.Int32
	return func(ctx context.Context) (string, string, error) {
		if calls.Add(1) > 1 {
			<-ctx.Done()
		}
		return "id", "secret", ctx.Err()
	}
}

// The timer of a token kept the whole context of the request that used it first.
func TestTokenInUseKeepsNoRequestAlive(t *testing.T) {
	src := &scriptedSource{lifetime: time.Hour}
	cache := &tokensource.Cache{Source: src}
	defer cache.Close()
	freed := make(chan struct{})
	func() {
		type key struct{}
		value := new([1 << 16]byte)
		runtime.AddCleanup(value, func(int) { close(freed) }, 0)
		if a := ask(context.WithValue(t.Context(), key{}, value), cache); a.access != "token-1" {
			t.Fatal(a.err)
		}
	}()
	for range 10 {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Error("the request's context is still there")
}

// What a token costs, next to golang.org/x/oauth2 and to the least that any cache
// could do.

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
