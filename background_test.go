package tokensource_test

// Refreshes that nobody waits for: by timer while a token is in use, and none
// at all where Synchronous or Close says so.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

// Row 9: background refresh
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
//
// Row 9: background refresh
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
// used the context of the call that came first. Its values (an HTTP client, a
// trace) are wanted, its end is not.
//
// Row 1: token call takes a context
func TestTimersRefreshKeepsTheContextsValuesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "of the first caller"), time.Second)
		ask(ctx, cache)
		cancel()
		time.Sleep(59 * time.Minute)
		wantCalls(t, src, 2)
		wantToken(t, cache, "token-2")
		for call := range 2 {
			if got := src.context(call + 1).Value(key{}); got != "of the first caller" {
				t.Fatalf("call %d was made with the value %v", call+1, got)
			}
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
	cache.OnEvent = func(e tokensource.Event) {
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

// Row 9: background refresh
// Row 36: time testable without sleeps
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

// Row 10: valid token survives a failed refresh
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
		"arrives in its early window":          8500 * time.Millisecond,
		"arrives when callers should stop":     9500 * time.Millisecond,
		"arrives after the provider's expiry":  11 * time.Second,
		"arrives in the instant of its expiry": 10 * time.Second,
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
