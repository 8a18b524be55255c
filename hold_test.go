package tokensource_test

// After a failure: how long it is kept for the calls that follow, what ends it
// sooner, and what it means to those who still have a valid token.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// holds are the pauses after one failure after the other. Each is shortened by
// a random 0 to 20%.
var holds = []time.Duration{1, 2, 4, 8, 16, 30, 30, 30}

// wantHolds fails the test unless the calls are as far apart as holds says,
// for a crowd that asks every so often.
func wantHolds(t *testing.T, calls []time.Time, every time.Duration) {
	t.Helper()
	for i, hold := range holds {
		wantBetween(t, "pause between attempts", calls[i+1].Sub(calls[i]), hold*time.Second*8/10, hold*time.Second+every)
	}
}

// 20 callers on a failing endpoint: x/oauth2 made 20 requests, or 40 with an
// auto-detected style, Google and Azure 20.
func TestFailingEndpointGetsThreeRequestsFromTwentyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{latency: 100 * time.Millisecond, reply: failing(1, always, errOutage, 0)}
		cache := &tokensource.Cache{Source: src}
		answers := crowd(t.Context(), cache, 20)
		for _, a := range answers {
			if !errors.Is(a.err, errOutage.Err) || a.waited != answers[0].waited {
				t.Fatalf("a waiter got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		for _, a := range crowd(t.Context(), cache, 20) {
			if !errors.Is(a.err, errOutage.Err) || a.waited != 0 {
				t.Fatalf("a call during the hold got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		wantCalls(t, src, 3)
	})
}

// camunda#44815: no backoff. Callers inherited a backoff that had grown while a
// valid token served them, and peers hammer instead.
func TestAttemptsWithoutAToken(t *testing.T) {
	for name, lifetime := range map[string]time.Duration{
		"an outage that begins without a token":    0,
		"an outage that begins with a valid token": 5 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const every = 10 * time.Millisecond
				src := &scriptedSource{reply: failing(1, always, errRefusal, lifetime)}
				if lifetime > 0 {
					src.reply = failing(2, always, errRefusal, lifetime)
				}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				for ask(t.Context(), cache).err == nil {
					time.Sleep(every)
				}
				out := time.Now()
				for time.Since(out) < 3*time.Minute {
					if a := ask(t.Context(), cache); !errors.Is(a.err, errRefusal.Err) || a.waited != 0 {
						t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
					}
					time.Sleep(every)
				}
				calls := src.calls()
				for i, call := range calls[1:] {
					low, high := time.Second, 2*time.Second
					if call.Sub(calls[1]) > time.Minute {
						low, high = 4*time.Second, 5*time.Second
					}
					if before := calls[i]; !before.Before(out) && call.Sub(calls[1]) < time.Minute || call.Sub(calls[1]) > time.Minute+5*time.Second && !before.Before(out) {
						wantBetween(t, "pause between attempts", call.Sub(before), low, high+every)
					}
				}
				if last := calls[len(calls)-1]; time.Since(last) > 5*time.Second+every {
					t.Fatalf("no attempt for %v", time.Since(last))
				}
			})
		})
	}
}

// The token is back within 2 s of the endpoint, within 5 s after a longer
// outage, at no more than one request a second.
func TestBackAtOnceAfterAnOutage(t *testing.T) {
	for _, length := range []time.Duration{2, 15, 59, 61, 300} {
		for _, begins := range []time.Duration{0, time.Second, 70 * time.Second} { // with so much left of a token
			t.Run(fmt.Sprintf("%d s, %v of a token left", length, begins), func(t *testing.T) {
				for range 20 {
					synctest.Test(t, func(t *testing.T) { outage(t, length*time.Second, begins) })
				}
			})
		}
	}
}

func outage(t *testing.T, length, left time.Duration) {
	const lifetime, every = 10 * time.Minute, 100 * time.Millisecond
	begin := time.Now().Add(lifetime - 10*time.Second - left)
	if left == 0 {
		begin = time.Now()
	}
	end := begin.Add(length)
	src := &scriptedSource{}
	src.reply = func(call int) (*oauth2.Token, error) {
		if now := time.Now(); !now.Before(begin) && now.Before(end) {
			return nil, errOutage
		}
		return lasting(call, lifetime)
	}
	cache := &tokensource.Cache{Source: src, EarlyRefresh: left + 10*time.Second}
	defer cache.Close()
	for time.Now().Before(end) {
		ask(t.Context(), cache)
		time.Sleep(every)
	}
	limit := 2200 * time.Millisecond
	if length > time.Minute {
		limit = 5200 * time.Millisecond
	}
	for ask(t.Context(), cache).err != nil {
		time.Sleep(every)
	}
	if waited := time.Since(end); waited > limit {
		t.Fatalf("the token was back %v after the endpoint", waited)
	}
	// Besides the first and the last one: three tries each, while a token is valid.
	if n := len(src.calls()); n > 2+6+int(length/time.Second) {
		t.Fatalf("%d requests in an outage of %v", n, length)
	}
}

func TestHoldStartsAnewAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			if call == 4 {
				return lasting(call, time.Hour)
			}
			return nil, errRefusal
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		for ask(t.Context(), cache).err != nil {
			time.Sleep(10 * time.Millisecond)
		}
		wantCalls(t, src, 4) // the last hold was 4 s
		cache.Invalidate(tokenNo(4))
		ask(t.Context(), cache)
		time.Sleep(time.Second)
		ask(t.Context(), cache)
		wantCalls(t, src, 6)
	})
}

// What a caller does with RetryAfter is to wait that long: then it must be
// worth it.
func TestHeldErrorSaysWhenToComeBack(t *testing.T) {
	for name, err := range map[string]error{
		"an error of this package":           errRefusal,
		"one that the source wrapped":        fmt.Errorf("merchant 7: %w", errRefusal),
		"one that has no cause, wrapped":     fmt.Errorf("merchant 7: %w", &tokensource.Error{Status: 400}),
		"a foreign source's":                 &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}},
		"a foreign source's, wrapped itself": fmt.Errorf("merchant 7: %w", &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &scriptedSource{reply: failing(1, 3, err, time.Hour)}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				for attempt := range 3 {
					ask(t.Context(), cache)
					time.Sleep(100 * time.Millisecond)
					held := ask(t.Context(), cache).err
					wantCalls(t, src, attempt+1)
					e := asError(t, held)
					wantBetween(t, "RetryAfter", e.RetryAfter, 1, 2*time.Second-100*time.Millisecond)
					if e.Status != 400 || !errors.Is(held, err) && !errors.Is(held, errRefusal.Err) || !strings.Contains(held.Error(), "retry after") || strings.Contains(held.Error(), "nil") {
						t.Fatalf("got %v", held)
					}
					time.Sleep(e.RetryAfter)
				}
				wantToken(t, cache, "token-4")
				if errRefusal.RetryAfter != 0 {
					t.Fatal("the source's own error was changed")
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		asked, waited, hold time.Duration
		calls               int // of the first flight
	}{
		"fits into FetchTimeout: it is waited for":     {asked: 5 * time.Second, waited: 5 * time.Second, calls: 2},
		"does not fit: the call fails at once":         {asked: time.Minute, hold: time.Minute, calls: 1},
		"is absurd: 5 minutes, not a day":              {asked: 24 * time.Hour, hold: 5 * time.Minute, calls: 1},
		"leaves no time within FetchTimeout: at once":  {asked: 30 * time.Second, hold: 30 * time.Second, calls: 1},
		"is no more than what full jitter might waste": {asked: time.Second, waited: time.Second, calls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := &tokensource.Error{Status: 429, RetryAfter: c.asked, Err: errors.New("slow down")}
				src := &scriptedSource{reply: failing(1, 1, busy, time.Hour)}
				cache := &tokensource.Cache{Source: src}
				defer cache.Close()
				a := ask(t.Context(), cache)
				wantCalls(t, src, c.calls)
				if a.waited != c.waited || (a.err != nil) != (c.hold != 0) {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				if c.hold == 0 {
					return
				}
				if e := asError(t, a.err); e.RetryAfter != c.asked {
					t.Fatalf("RetryAfter is %v, the provider said %v", e.RetryAfter, c.asked)
				}
				time.Sleep(c.hold - time.Second)
				if e := asError(t, ask(t.Context(), cache).err); e.RetryAfter != time.Second {
					t.Fatalf("RetryAfter is %v, 1 s before the next attempt", e.RetryAfter)
				}
				time.Sleep(time.Second)
				wantToken(t, cache, "token-2")
			})
		})
	}
}

// An operator who rotates the secret must not wait for a hold to pass, and one
// who has not yet must not have the provider lock the account. The credentials
// are looked at once a second, and no call waits for that.
func TestRejectedCredentialsAreHeldUntilTheyChange(t *testing.T) {
	for name, newSource := range map[string]func(tokensource.Credentials, *http.Client) oauth2.TokenSource{
		"in a header": func(creds tokensource.Credentials, c *http.Client) oauth2.TokenSource {
			return &tokensource.Blackhawk{Credentials: creds, BaseURL: "provider.example", HTTPClient: c}
		},
		"in the body": func(creds tokensource.Credentials, c *http.Client) oauth2.TokenSource {
			return &tokensource.Blink{Credentials: creds, BaseURL: "https://provider.example", HTTPClient: c}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				status, requests, reads := 401, 0, 0
				wire := httpmock.NewMockTransport()
				wire.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
					requests++
					resp := httpmock.NewStringResponse(status, `{"access_token": "a"}`)
					resp.Header.Set("Retry-After", "240")
					return resp, nil
				})
				secret, missing := "the old secret", false
				cache := &tokensource.Cache{Source: newSource(func(context.Context) (string, string, error) {
					reads++
					if missing {
						return "", "", tokensource.ErrCredentials
					}
					return "id", secret, nil
				}, &http.Client{Transport: wire})}
				defer cache.Close()
				rejected := func(what string, want int) {
					t.Helper()
					for range 50 {
						a := ask(t.Context(), cache)
						if !errors.Is(a.err, tokensource.ErrCredentials) || a.waited != 0 || requests != want {
							t.Fatalf("%s: got %q, %v and %d requests, want %d", what, a.access, a.err, requests, want)
						}
					}
					synctest.Wait()
					time.Sleep(time.Second)
				}
				rejected("first call", 1)
				before := reads
				rejected("the same pair", 1)
				if reads != before+1 {
					t.Errorf("50 calls within a second read the credentials %d times", reads-before)
				}
				missing = true
				rejected("the file is gone for a moment", 1)
				missing = false
				rejected("the same pair again", 1)
				secret = "another that is wrong"
				ask(t.Context(), cache)
				synctest.Wait()
				rejected("another pair", 2)
				rejected("the same other pair", 2)
				secret, status = "the new secret", 200
				ask(t.Context(), cache)
				synctest.Wait()
				if a := ask(t.Context(), cache); a.err != nil || requests != 3 {
					t.Fatalf("rotated: got %q, %v and %d requests", a.access, a.err, requests)
				}
			})
		})
	}
}

// Credentials may come from a vault that hangs: looking for a new pair must not
// take longer than any other fetch.
func TestHungCredentialsDuringAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := httpmock.NewMockTransport()
		wire.RegisterNoResponder(httpmock.NewStringResponder(401, `{}`))
		calls := 0
		cache := &tokensource.Cache{FetchTimeout: 5 * time.Second, Source: &tokensource.Blackhawk{
			BaseURL: "bhn.example", HTTPClient: &http.Client{Transport: wire},
			Credentials: func(ctx context.Context) (string, string, error) {
				if calls++; calls > 1 {
					<-ctx.Done()
				}
				return "id", "secret", ctx.Err()
			},
		}}
		defer cache.Close()
		ask(t.Context(), cache)
		if a := ask(t.Context(), cache); !errors.Is(a.err, tokensource.ErrCredentials) || a.waited > 0 {
			t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
		}
	})
}

func TestFailedEarlyRefreshKeepsTheValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 30 * time.Minute
		src := &scriptedSource{reply: failing(2, always, errRefusal, lifetime)}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		start := time.Now()
		for time.Since(start) < lifetime-10*time.Second {
			wantToken(t, cache, "token-1")
			time.Sleep(7 * time.Second / 3)
		}
		calls := src.calls()[1:]
		wantHolds(t, calls, 0) // by a timer, whether a call asks in between or not
		if n := len(calls); n > 17 {
			t.Fatalf("%d attempts within an early window of 5 minutes", n)
		}
		if a := ask(t.Context(), cache); !errors.Is(a.err, errRefusal.Err) {
			t.Fatalf("after the hard expiry: %q, %v", a.access, a.err)
		}
		after := len(src.calls())
		time.Sleep(time.Hour)
		wantCalls(t, src, after) // without a token there is nothing to keep alive
	})
}

func TestFailedEarlyRefreshIsRepeatedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, 6, errOutage, 30*time.Minute)}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(30*time.Minute - 11*time.Second)
		wantCalls(t, src, 7) // 3 tries, 1 s, and 3 tries of which the last one works
		wantToken(t, cache, "token-7")
	})
}

// A source may be a program of its own, with Caches, hooks and providers whose
// errors mean nothing to this one.
func TestErrorsOfOthersAreHeld(t *testing.T) {
	closed := &tokensource.Cache{Source: &scriptedSource{}}
	closed.Close()
	_, errClosed := closed.Token()
	rejected := &tokensource.Blackhawk{BaseURL: "bhn.example", Credentials: tokensource.StaticCredentials("id", "secret"),
		HTTPClient: &http.Client{Transport: rejecting()}}
	_, errRejected := rejected.Token()
	for name, c := range map[string]*tokensource.Cache{
		"the source's error wraps another Cache's ErrClosed":    {Source: &scriptedSource{reply: failing(1, always, errClosed, 0)}},
		"OnToken's error wraps another provider's rejection":    {Source: &scriptedSource{}, OnToken: func(context.Context, *oauth2.Token) error { return errRejected }},
		"the source's error wraps another provider's rejection": {Source: &scriptedSource{reply: failing(1, always, errRejected, 0)}},
		"RetryAfter is below 0":                                 {Source: &scriptedSource{reply: failing(1, always, &tokensource.Error{Status: 429, RetryAfter: -time.Hour}, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kinds := map[tokensource.EventKind]int{}
				c.OnEvent = func(_ context.Context, e tokensource.Event) { kinds[e.Kind]++ }
				for range 10 {
					asError(t, ask(t.Context(), c).err)
				}
				if kinds[tokensource.EventFailed] != 1 || kinds[tokensource.EventHeld] != 9 {
					t.Fatalf("10 calls: %v", kinds)
				}
				wantCalls(t, c.Source.(*scriptedSource), 1)
			})
		})
	}
}

func rejecting() http.RoundTripper {
	wire := httpmock.NewMockTransport()
	wire.RegisterNoResponder(httpmock.NewStringResponder(401, `{}`))
	return wire
}

// Of two attempts side by side the one with Retry-After ended first, and the
// other's short hold replaced it.
func TestRetryAfterOfAFailureThatRanBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		wire := httpmock.NewMockTransport()
		wire.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
			resp := httpmock.NewStringResponse(400, `{}`)
			if calls.Add(1) == 1 {
				resp = httpmock.NewStringResponse(429, `{}`)
				resp.Header.Set("Retry-After", "60")
				time.Sleep(time.Second)
			} else {
				time.Sleep(2 * time.Second)
			}
			return resp, nil
		})
		cache := &tokensource.Cache{FetchTimeout: 10 * time.Second, Source: &tokensource.Flinks{
			BaseURL: "https://flinks.example", Credentials: tokensource.StaticCredentials("id", "secret"), HTTPClient: &http.Client{Transport: wire}}}
		crowd(t.Context(), cache, 2)
		e := asError(t, ask(t.Context(), cache).err)
		wantBetween(t, "RetryAfter", e.RetryAfter, 58*time.Second, 59*time.Second)
	})
}

// An answer that came after FetchTimeout was there, and calls failed on.
func TestLateAnswerEndsTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour, latency: 5500 * time.Millisecond}
		cache := &tokensource.Cache{Source: contextless{src}, FetchTimeout: 5 * time.Second}
		defer cache.Close()
		if a := ask(t.Context(), cache); a.err == nil {
			t.Fatal("a token within FetchTimeout")
		}
		if a := ask(t.Context(), cache); a.err == nil || a.waited != 0 {
			t.Fatalf("during the hold: %q after %v", a.access, a.waited)
		}
		time.Sleep(510 * time.Millisecond)
		wantToken(t, cache, "token-1")
		wantCalls(t, src, 1)
	})
}
