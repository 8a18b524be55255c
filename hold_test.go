package tokensource_test

// After a failure: how long it is kept for the calls that follow, what ends it
// sooner, and what it means to those who still have a valid token.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
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
//
// Row 4: one refresh for many callers
// Row 5: a failure is shared by its waiters
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

// camunda#44815: no backoff, no Retry-After.
//
// Row 6: backoff after failure, Retry-After
func TestHoldDoublesFromOneSecondToThirty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Millisecond
		src := &scriptedSource{reply: failing(1, always, errRefusal, 0)}
		cache := &tokensource.Cache{Source: src}
		for len(src.calls()) <= len(holds) {
			if a := ask(t.Context(), cache); !errors.Is(a.err, errRefusal.Err) || a.waited != 0 {
				t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
			}
			time.Sleep(every)
		}
		wantHolds(t, src.calls(), every)
	})
}

// Row 6: backoff after failure, Retry-After
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
//
// Row 6: backoff after failure, Retry-After
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
					wantBetween(t, "RetryAfter", e.RetryAfter, 1, holds[attempt]*time.Second-100*time.Millisecond)
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

// Row 6: backoff after failure, Retry-After
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
// who has not yet must not have the provider lock the account.
//
// Row 6: backoff after failure, Retry-After
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
				status, requests := 401, 0
				wire := httpmock.NewMockTransport()
				wire.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
					requests++
					return httpmock.NewStringResponse(status, `{"access_token": "a"}`), nil
				})
				secret, missing := "the old secret", false
				cache := &tokensource.Cache{Source: newSource(func(context.Context) (string, string, error) {
					if missing {
						return "", "", tokensource.ErrCredentials
					}
					return "id", secret, nil
				}, &http.Client{Transport: wire})}
				defer cache.Close()
				rejected := func(after string, want int) {
					t.Helper()
					a := ask(t.Context(), cache)
					if !errors.Is(a.err, tokensource.ErrCredentials) || requests != want {
						t.Fatalf("%s: got %q, %v and %d requests, want %d", after, a.access, a.err, requests, want)
					}
				}
				rejected("first call", 1)
				rejected("the same pair", 1)
				missing = true
				rejected("the file is gone for a moment", 1)
				missing = false
				rejected("the same pair again", 1)
				secret = "another that is wrong"
				rejected("another pair", 2)
				rejected("the same other pair", 2)
				secret, status = "the new secret", 200
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
		ask(t.Context(), cache)
		if a := ask(t.Context(), cache); !errors.Is(a.err, tokensource.ErrCredentials) || a.waited > cache.FetchTimeout {
			t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
		}
	})
}

// Row 9: background refresh
// Row 10: valid token survives a failed refresh
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
		wantHolds(t, calls, 0) // by a timer, whoever asks in between
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

// Row 10: valid token survives a failed refresh
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
