package tokensource_test

// Time: until when callers get a token, when its early window opens, and what
// becomes of tokens with odd expiries.

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
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

// Row 7: early window configurable
// Row 8: window clamped to the lifetime
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
//
// Row 8: window clamped to the lifetime
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
//
// Row 11: jitter
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
//
// Row 32: returned token is the caller's own
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
//
// Row 9: background refresh
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

// Row 1: token call takes a context
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
