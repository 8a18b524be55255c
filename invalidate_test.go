package tokensource_test

// A token that the API rejected: it is replaced once, nothing newer is lost, and
// a provider that hands out nothing but rejected tokens is left alone.

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

// kubernetes#99324: a 401 that came late threw away the token that had replaced
// the rejected one.
//
// Row 14: invalidation on 401, exactly the rejected token
func TestInvalidateForgetsExactlyTheRejectedToken(t *testing.T) {
	for name, c := range map[string]struct {
		rejected *oauth2.Token
		want     string
		calls    int
	}{
		"the current token":               {tokenNo(2), "token-3", 3},
		"the one before, by a late 401":   {tokenNo(1), "token-2", 2},
		"one that nobody has heard of":    {tokenNo(99), "token-2", 2},
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

// Row 4: one refresh for many callers
// Row 14: invalidation on 401, exactly the rejected token
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
//
// Row 14: invalidation on 401, exactly the rejected token
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
//
// Row 6: backoff after failure, Retry-After
// Row 14: invalidation on 401, exactly the rejected token
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
//
// Row 14: invalidation on 401, exactly the rejected token
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

// Row 14: invalidation on 401, exactly the rejected token
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

// Somebody may reject a token while it is on its way to another caller.
//
// Row 14: invalidation on 401, exactly the rejected token
func TestWaiterDoesNotGetATokenThatWasRejectedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}}
		defer cache.Close()
		cache.OnEvent = func(e tokensource.Event) {
			if e.Kind == tokensource.EventFetched {
				cache.Invalidate(tokenNo(1))
			}
		}
		wantToken(t, cache, "token-2")
	})
}

// Row 14: invalidation on 401, exactly the rejected token
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
