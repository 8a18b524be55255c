package tokensource_test

// Refreshes that no caller waits for: by timer while a token is in use, and none
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
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

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
