package tokensource_test

// Single-use tokens: the Cache passes them through, one request for each call,
// whether the source says so or only its tokens do.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

// flinksPay is Flinks with an endpoint that numbers its tokens.
type flinksPay struct {
	*tokensource.Flinks
	latency time.Duration

	mu       sync.Mutex
	failures int // that many requests are refused first
	requests int
}

func newFlinksPay(latency time.Duration, failures int) *flinksPay {
	f := &flinksPay{latency: latency, failures: failures}
	wire := httpmock.NewMockTransport()
	wire.RegisterResponder("POST", "https://flinks.example/api/v1/authorize", func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(f.latency):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.requests++; f.requests <= f.failures {
			return httpmock.NewStringResponse(400, "{}"), nil
		}
		return httpmock.NewStringResponse(200, fmt.Sprintf(
			`{"access_token": "token-%d", "token_type": "bearer", "expires_in": 299}`, f.requests)), nil
	})
	f.Flinks = &tokensource.Flinks{
		Credentials: tokensource.StaticCredentials("username", "password"),
		BaseURL:     "https://flinks.example", HTTPClient: &http.Client{Transport: wire},
	}
	return f
}

// sources are two that must not share their tokens: Flinks, and a wrapper
// around it that hides what Flinks says about itself.
func (f *flinksPay) sources() map[string]oauth2.TokenSource {
	return map[string]oauth2.TokenSource{"Flinks": f.Flinks, "a foreign wrapper": contextless{f.Flinks}}
}

// Row 34: single-use tokens never shared
func TestEveryCallGetsASingleUseTokenOfItsOwn(t *testing.T) {
	for name := range newFlinksPay(0, 0).sources() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlinksPay(time.Second, 0)
				cache := &tokensource.Cache{Source: f.sources()[name]}
				defer cache.Close()
				seen := map[string]bool{}
				for range 3 {
					for _, a := range crowd(t.Context(), cache, 20) {
						if a.err != nil || seen[a.access] {
							t.Fatalf("got %q, %v; it had been handed out: %v", a.access, a.err, seen[a.access])
						}
						seen[a.access] = true
					}
					time.Sleep(time.Minute)
				}
				if f.requests != len(seen) {
					t.Fatalf("%d token requests for %d calls", f.requests, len(seen))
				}
			})
		})
	}
}

// x/oauth2 wraps whatever it gets in a ReuseTokenSource.
//
// Row 34: single-use tokens never shared
func TestReuseTokenSourceDoesNotReuseASingleUseToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: newFlinksPay(0, 0).Flinks}
		wrapper := oauth2.ReuseTokenSource(nil, cache)
		for call := 1; call <= 3; call++ {
			tok, err := wrapper.Token()
			if err != nil || tok.AccessToken != tokenNo(call).AccessToken || tok.ExpiresIn != 299 {
				t.Fatalf("call %d got %v, %v", call, tok, err)
			}
		}
	})
}

// Row 5: a failure is shared by its waiters
// Row 34: single-use tokens never shared
func TestSingleUseFailuresAreHeld(t *testing.T) {
	for name := range newFlinksPay(0, 0).sources() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlinksPay(0, 1)
				cache := &tokensource.Cache{Source: f.sources()[name]}
				for range 10 {
					if e := asError(t, ask(t.Context(), cache).err); e.Status != 400 {
						t.Fatalf("got %v", e)
					}
				}
				if f.requests != 1 {
					t.Fatalf("%d requests to an endpoint that fails", f.requests)
				}
				time.Sleep(time.Second)
				wantToken(t, cache, "token-2")
			})
		})
	}
}

// Attempts that fail side by side are one failure: the hold does not double for
// each.
//
// Row 6: backoff after failure, Retry-After
func TestSingleUseCrowdThatFailsIsHeldForOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(100*time.Millisecond, 20)
		cache := &tokensource.Cache{Source: f.Flinks}
		for _, a := range crowd(t.Context(), cache, 20) {
			asError(t, a.err)
		}
		e := asError(t, ask(t.Context(), cache).err)
		wantBetween(t, "RetryAfter", e.RetryAfter, 800*time.Millisecond, time.Second)
	})
}

// Row 34: single-use tokens never shared
func TestInvalidateOfASingleUseTokenDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(0, 0)
		cache := &tokensource.Cache{Source: f.Flinks, OnEvent: func(e tokensource.Event) {
			if e.Kind != tokensource.EventFetched {
				t.Errorf("event %q", e.Kind)
			}
		}}
		for call := range 5 {
			tok, err := cache.Token()
			if err != nil {
				t.Fatal(err)
			}
			cache.Invalidate(tok)
			if f.requests != call+1 {
				t.Fatalf("%d requests for %d calls", f.requests, call+1)
			}
		}
	})
}

// A single-use token is of use to its caller only: when that one leaves, its
// request ends, the others' go on, and it says nothing about the provider.
//
// Row 3: a cancelled leader harms nobody
// Row 34: single-use tokens never shared
func TestCallerWhoLeavesHarmsNoOtherSingleUseCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(700*time.Millisecond, 0)
		contexts := make(chan context.Context, 10)
		f.Credentials = func(ctx context.Context) (string, string, error) {
			contexts <- ctx
			return "username", "password", nil
		}
		cache := &tokensource.Cache{Source: f.Flinks}
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if a := ask(ctx, cache); !errors.Is(a.err, context.DeadlineExceeded) || a.waited != 50*time.Millisecond {
				t.Errorf("who left got %q, %v after %v", a.access, a.err, a.waited)
			}
			time.Sleep(time.Millisecond)
			if ctx := <-contexts; ctx.Err() == nil {
				t.Error("the request of who left goes on")
			}
			if a := ask(t.Context(), cache); a.err != nil {
				t.Errorf("who came right after got %v", a.err)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			for _, a := range crowd(t.Context(), cache, 5) {
				if a.err != nil {
					t.Errorf("another got %v", a.err)
				}
			}
		})
		callers.Wait()
	})
}

// A token that has expired on arrival is handed out once, and when the source
// has come to its senses its tokens are shared again.
//
// Row 34: single-use tokens never shared
func TestTokenThatExpiredOnArrivalIsForOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{latency: time.Second, reply: func(call int) (*oauth2.Token, error) {
			if call <= 5 {
				return lasting(call, -time.Hour)
			}
			return lasting(call, time.Hour)
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		seen := map[string]bool{}
		for _, a := range crowd(t.Context(), cache, 5) {
			if a.err != nil || seen[a.access] {
				t.Fatalf("got %q, %v; it had been handed out: %v", a.access, a.err, seen[a.access])
			}
			seen[a.access] = true
		}
		wantCalls(t, src, 5)
		for range 2 { // the first that lasts is still one caller's
			ask(t.Context(), cache)
		}
		wantToken(t, cache, "token-7")
		wantToken(t, cache, "token-7")
	})
}

// A source whose tokens never expire is asked once more after a token that had
// expired on arrival, not for every call from then on.
//
// Row 34: single-use tokens never shared
func TestSourceThatRecoversWithTokensThatNeverExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			if call == 1 {
				return lasting(call, -time.Hour)
			}
			return tokenNo(call), nil
		}}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		for range 2 { // the first that lasts is still one caller's
			ask(t.Context(), cache)
		}
		wantToken(t, cache, "token-3")
		wantToken(t, cache, "token-3")
	})
}

// Row 34: single-use tokens never shared
func TestSingleUseTokenWithoutExpiryIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: mint{&scriptedSource{}}}
		defer cache.Close()
		for _, want := range []string{"token-1", "token-2", "token-3"} {
			wantToken(t, cache, want)
		}
	})
}

// mint says of any source that its tokens are for one use.
type mint struct{ *scriptedSource }

func (mint) SingleUse() bool { return true }

// Row 28: provider panic is survived
func TestSingleUseSourceThatHangsOrPanics(t *testing.T) {
	for name, crash := range map[string]func(){
		"hangs":  func() { time.Sleep(time.Hour) },
		"panics": func() { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlinksPay(0, 0)
				var once sync.Once
				f.Credentials = func(context.Context) (string, string, error) {
					once.Do(crash)
					return "username", "password", nil
				}
				cache := &tokensource.Cache{Source: f.Flinks, FetchTimeout: 5 * time.Second}
				if a := ask(t.Context(), cache); a.err == nil || a.waited > cache.FetchTimeout {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				time.Sleep(2 * time.Hour)
				if a := ask(t.Context(), cache); a.err != nil {
					t.Fatalf("the next call got %v", a.err)
				}
			})
		})
	}
}
