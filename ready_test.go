package tokensource_test

// Single-use tokens: the Cache passes them through, one request for each call,
// whether the source says so or only its tokens do.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// A source that does not end with its caller's context must not read there what
// belongs to another request by then.
func TestSingleUseSourceThatOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var during, after any
		cache := &tokensource.Cache{Source: unshared{tokensource.TokenFunc(func(ctx context.Context) (*oauth2.Token, error) {
			during = ctx.Value(key{})
			time.Sleep(time.Minute)
			after = ctx.Value(key{})
			return lasting(1, time.Hour)
		})}}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "of the caller"), time.Second)
		defer cancel()
		if a := ask(ctx, cache); !errors.Is(a.err, context.DeadlineExceeded) || a.waited != time.Second {
			t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
		}
		time.Sleep(time.Minute)
		cache.Close()
		if during != "of the caller" || after != nil {
			t.Errorf("the source saw the value %v, and after the caller had left %v", during, after)
		}
	})
}

// A provider that asks for patience is asked once, though each call has a request
// of its own, and leaves before the next try.
func TestCallersOfASingleUseSourceThatLeaveBeforeRetryAfter(t *testing.T) {
	for name, leaving := range map[string]struct {
		leave func(context.Context) (context.Context, context.CancelFunc)
		waits time.Duration
	}{
		"a deadline: the call does not wait for a try that it will not see": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, 10 * time.Millisecond},
		"cancelled: the failure before that counts": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				cache := &tokensource.Cache{Source: unshared{func(context.Context) (*oauth2.Token, error) {
					calls++
					time.Sleep(10 * time.Millisecond)
					return nil, &tokensource.Error{Status: 503, RetryAfter: 20 * time.Second, Err: errors.New("busy")}
				}}}
				defer cache.Close()
				ctx, cancel := leaving.leave(t.Context())
				defer cancel()
				if a := ask(ctx, cache); a.err == nil || a.waited != leaving.waits {
					t.Errorf("the first call got %q, %v after %v", a.access, a.err, a.waited)
				}
				synctest.Wait()
				for range 10 {
					if a := ask(t.Context(), cache); asError(t, a.err).Status != 503 || errors.Is(a.err, context.Canceled) || a.waited != 0 {
						t.Errorf("another got %q, %v after %v", a.access, a.err, a.waited)
					}
				}
				if calls != 1 {
					t.Errorf("%d requests", calls)
				}
			})
		})
	}
}

type unshared struct{ tokensource.TokenFunc }

func (unshared) SingleUse() bool { return true }

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

// In an outage one attempt serves all callers; once there is a token again, each
// gets its own at once.
func TestSingleUseCallersInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(time.Second, 1<<30)
		cache := &tokensource.Cache{Source: f.Flinks}
		defer cache.Close()
		asError(t, ask(t.Context(), cache).err)
		before := f.count()
		var calls sync.WaitGroup
		for range 600 {
			calls.Go(func() { ask(t.Context(), cache) })
			time.Sleep(100 * time.Millisecond)
		}
		calls.Wait()
		if n := f.count() - before; n > 60 {
			t.Fatalf("%d token requests in a minute", n)
		}
		time.Sleep(5 * time.Second) // the hold
		f.mu.Lock()
		f.failures = 0
		f.mu.Unlock()
		seen := map[string]bool{}
		for _, a := range crowd(t.Context(), cache, 20) {
			if a.err != nil || seen[a.access] || a.waited > 2*time.Second {
				t.Fatalf("got %q, %v after %v; handed out before: %v", a.access, a.err, a.waited, seen[a.access])
			}
			seen[a.access] = true
		}
	})
}

func TestInvalidateOfASingleUseTokenDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(0, 0)
		cache := &tokensource.Cache{Source: f.Flinks, OnEvent: func(_ context.Context, e tokensource.Event) {
			if e.Kind != tokensource.EventFetched && e.Kind != tokensource.EventWaited {
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

// sessions starts one every so often, for as long as d, and fails the test if a
// token is handed out twice. It returns how long each one waited, and the errors.
func sessions(t *testing.T, cache *tokensource.Cache, every, d time.Duration) (waits []time.Duration, failed int) {
	t.Helper()
	seen := map[string]bool{}
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(every) {
		a := ask(t.Context(), cache)
		if seen[a.access] && a.err == nil {
			t.Fatalf("%q was handed out twice", a.access)
		}
		seen[a.access] = true
		if a.err != nil {
			failed++
		}
		waits = append(waits, a.waited)
	}
	return waits, failed
}

func TestReadyTokensSaveTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(500*time.Millisecond, 0)
		cache := &tokensource.Cache{Source: f.Flinks, Ready: 8}
		defer cache.Close()
		waits, failed := sessions(t, cache, 100*time.Millisecond, 10*time.Minute)
		for i, waited := range waits[1:] {
			if waited != 0 {
				t.Fatalf("session %d waited %v", i+2, waited)
			}
		}
		time.Sleep(10 * time.Minute)
		if n := f.count(); failed > 0 || n > len(waits)+8 {
			t.Fatalf("%d failed, %d token requests for %d sessions", failed, n, len(waits))
		}
		if n := cache.Status().Ready; n > 8 {
			t.Fatalf("Status tells of %d ready tokens", n)
		}
	})
}

func TestReadyTokensServeInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(500*time.Millisecond, 0)
		cache := &tokensource.Cache{Source: f.Flinks, Ready: 8}
		defer cache.Close()
		sessions(t, cache, 500*time.Millisecond, 30*time.Second)
		f.mu.Lock()
		f.failures = 1 << 30
		f.mu.Unlock()
		time.AfterFunc(2*time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.failures = 0
		})
		waits, failed := sessions(t, cache, 500*time.Millisecond, 30*time.Second)
		if failed > 0 || slices.Max(waits) > 500*time.Millisecond {
			t.Fatalf("%d sessions failed, the longest wait was %v", failed, slices.Max(waits))
		}
		if n := cache.Status().Ready; n < 6 {
			t.Fatalf("%d ready tokens 28 s after the outage", n)
		}
	})
}

// Without a ready token the pool asks no more often than callers would.
func TestReadyTokensInALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(500*time.Millisecond, 1<<30)
		cache := &tokensource.Cache{Source: f.Flinks, Ready: 4}
		defer cache.Close()
		sessions(t, cache, 500*time.Millisecond, 2*time.Minute)
		before := f.count()
		sessions(t, cache, 500*time.Millisecond, 10*time.Minute)
		if n := f.count() - before; n > 10*60/4 {
			t.Fatalf("%d token requests in ten minutes, want one in 4 to 5 s", n)
		}
	})
}

func TestReadyTokensOfAnIdleProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(500*time.Millisecond, 0)
		cache := &tokensource.Cache{Source: f.Flinks, Ready: 4}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(24 * time.Hour)
		if n := f.count(); n != 1+4 {
			t.Fatalf("%d token requests for one session in a day", n)
		}
		if st := cache.Status(); st.Valid || st.Ready != 0 {
			t.Fatalf("Status tells of %d ready tokens, a day old; valid: %v", st.Ready, st.Valid)
		}
		// A token within a fifth of its life of its end leaves a session no time.
		if a := ask(t.Context(), cache); a.err != nil || a.access != "token-6" && a.waited == 0 {
			t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
		}
		for begin := time.Now(); time.Since(begin) < 20*time.Minute; time.Sleep(50 * time.Second) {
			tok, err := cache.Token()
			if age := time.Since(tok.Expiry); err != nil || age > 299*time.Second*4/5 {
				t.Fatalf("%v, of an age of %v", err, age)
			}
		}
	})
}

func TestReadyTokensAndACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlinksPay(500*time.Millisecond, 0)
		cache := &tokensource.Cache{Source: f.Flinks, Ready: 5}
		ask(t.Context(), cache)
		time.Sleep(time.Second)
		seen, at := map[string]bool{}, 0
		for _, a := range crowd(t.Context(), cache, 40) {
			if a.err != nil || seen[a.access] || a.waited > 500*time.Millisecond {
				t.Fatalf("got %q, %v after %v; handed out before: %v", a.access, a.err, a.waited, seen[a.access])
			}
			if seen[a.access] = true; a.waited == 0 {
				at++
			}
			cache.Invalidate(&oauth2.Token{AccessToken: a.access})
		}
		if at != 5 {
			t.Fatalf("%d of 40 had a ready token, want 5", at)
		}
		cache.Close()
		time.Sleep(time.Hour)
		if a := ask(t.Context(), cache); !errors.Is(a.err, tokensource.ErrClosed) || cache.Status().Ready != 0 {
			t.Fatalf("after Close: %q, %v", a.access, a.err)
		}
	})
}

func TestReadyWithoutSingleUseIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		a := ask(t.Context(), &tokensource.Cache{Source: src, Ready: 1})
		if asError(t, a.err); !strings.Contains(a.err.Error(), "Ready") {
			t.Fatalf("got %q, %v", a.access, a.err)
		}
		wantCalls(t, src, 0)
	})
}

// A source of the program's own may panic when it is asked what it is.
func TestPanicInSingleUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ask(t.Context(), &tokensource.Cache{Source: unsure{}})
		if asError(t, a.err); !strings.Contains(a.err.Error(), `SingleUse of the source: panic: not\nconfigured`) || strings.Contains(a.err.Error(), "\n") {
			t.Fatalf("got %v", a.err)
		}
	})
}

type unsure struct{ *scriptedSource }

func (unsure) SingleUse() bool { panic("not\nconfigured") }

func (f *flinksPay) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// The API revokes all tokens at once, those that are ready as well: the second
// attempt of a session took the next one, which was as dead.
func TestReadyTokensThatWereRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{})
		const n, each = 4, 20
		var forgotten atomic.Int32
		cache := &tokensource.Cache{
			Source: &tokensource.Flinks{
				BaseURL: sb.URL, Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), HTTPClient: sb.Client(),
			},
			Ready: n,
			OnEvent: func(_ context.Context, e tokensource.Event) {
				if e.Kind == tokensource.EventInvalidated {
					forgotten.Add(1)
				}
			},
		}
		defer cache.Close()
		client := tokensource.NewClient(cache)
		sessions := func() {
			for range each {
				resp, err := client.Post(sb.APIURL(sandbox.Flinks), "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a session failed: %s", resp.Status)
				}
				time.Sleep(500 * time.Millisecond)
			}
		}
		sessions()
		sb.Revoke(sandbox.Flinks)
		sessions()
		counts := sb.Ledger()[sandbox.Flinks]
		if counts.Rejected != 1 || counts.ReusedSingleUse > 0 || counts.TokenRequests > 2*each+1+2*n || forgotten.Load() != 1 {
			t.Errorf("%+v; the ready tokens were forgotten %d times", counts, forgotten.Load())
		}
	})
}

// Sessions that began before all tokens were revoked reject theirs one after the
// other: that empties the pool once.
func TestReadyTokensAndACrowdOfRejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 5 * time.Minute}
		kinds := map[tokensource.EventKind]int{}
		cache := &tokensource.Cache{Source: mint{src}, Ready: 4, OnEvent: func(_ context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventInvalidated || e.Kind == tokensource.EventHeld {
				kinds[e.Kind]++
			}
		}}
		defer cache.Close()
		ask(t.Context(), cache)
		synctest.Wait()
		before := len(src.calls())
		for n := range 20 {
			cache.Invalidate(tokenNo(n))
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		wantCalls(t, src, before+4)
		if kinds[tokensource.EventInvalidated] != 1 || kinds[tokensource.EventHeld] != 19 {
			t.Errorf("events %v", kinds)
		}
	})
}

// Tokens that were issued before the API revoked all, but arrived after that was
// noticed, filled the pool again: a session's second attempt took the next of them.
func TestReadyTokensThatWereUnderWayWhenAllWereRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		cache := &tokensource.Cache{Ready: 8, Source: unshared{func(context.Context) (*oauth2.Token, error) {
			tok := tokenNo(int(calls.Add(1)))
			tok.Expiry, tok.ExpiresIn = time.Now(), 299
			time.Sleep(500 * time.Millisecond)
			return tok, nil
		}}}
		defer cache.Close()
		sessions(t, cache, 100*time.Millisecond, 10*time.Second)
		revoked := time.Now()
		for session := range 50 {
			rejected := 0
			for range 2 {
				tok, err := cache.Token()
				if err != nil {
					t.Fatal(err)
				}
				if !tok.Expiry.Before(revoked) {
					break
				}
				cache.Invalidate(tok)
				rejected++
			}
			if rejected == 2 {
				t.Errorf("session %d failed: both its tokens had been revoked", session+1)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := cache.Status().Ready; n < 2 {
			t.Errorf("%d ready tokens after 5 s", n)
		}
	})
}

// One of two requests for ready tokens fails, and then the other with a
// Retry-After, which was forgotten.
func TestReadyTokensHeedARetryAfterBesideAnotherFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{latency: 50 * time.Millisecond, reply: func(call int) (*oauth2.Token, error) {
			switch call {
			case 4:
				return nil, errRefusal
			case 5:
				time.Sleep(100 * time.Millisecond)
				return nil, &tokensource.Error{Status: 429, RetryAfter: time.Minute, Err: errors.New("busy")}
			}
			return lasting(call, time.Hour)
		}}
		cache := &tokensource.Cache{Source: mint{src}, Ready: 2}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(time.Second)
		crowd(t.Context(), cache, 2)
		time.Sleep(time.Second)
		for range 50 {
			asError(t, ask(t.Context(), cache).err)
			time.Sleep(time.Second)
		}
		wantCalls(t, src, 5)
		time.Sleep(10 * time.Second)
		if a := ask(t.Context(), cache); a.err != nil {
			t.Errorf("after the Retry-After: %v", a.err)
		}
	})
}

// Each failed request for a ready token had OnEvent call the Cache, which took
// that for a sign of use: a program that was idle asked once a second without end.
func TestReadyTokensOfAnIdleProgramWhoseOnEventCallsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache *tokensource.Cache
		src := &scriptedSource{reply: failing(2, always, errRefusal, time.Hour)}
		cache = &tokensource.Cache{Source: mint{src}, Ready: 1, OnEvent: func(context.Context, tokensource.Event) { cache.Token() }}
		defer cache.Close()
		cache.Token()
		time.Sleep(2 * time.Minute)
		before := len(src.calls())
		time.Sleep(time.Hour)
		wantCalls(t, src, before)
	})
}

// A request that had begun during an outage and hung held up every call after it,
// although others had got tokens since.
func TestSingleUseCallAfterAnOutageWaitsForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			switch call {
			case 1:
				time.Sleep(time.Second)
				return nil, errRefusal
			case 2:
				time.Sleep(3 * time.Second)
			case 3:
				time.Sleep(20 * time.Second)
			}
			return lasting(call, time.Hour)
		}}
		cache := &tokensource.Cache{Source: mint{src}}
		defer cache.Close()
		var callers sync.WaitGroup
		for _, begins := range []time.Duration{0, time.Millisecond, 2500 * time.Millisecond} {
			callers.Go(func() {
				time.Sleep(begins)
				ask(t.Context(), cache)
			})
		}
		time.Sleep(4 * time.Second)
		wantToken(t, cache, "token-4")
		callers.Wait()
		wantCalls(t, src, 4)
	})
}

// A source that takes no context and hung during an outage was waited for again
// and again, as if its token could serve the calls that had come meanwhile.
func TestSingleUseSourceThatHangsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: func(call int) (*oauth2.Token, error) {
			switch call {
			case 1:
				return nil, errRefusal
			case 2:
				time.Sleep(time.Hour)
			}
			return lasting(call, time.Hour)
		}}
		cache := &tokensource.Cache{Source: unsharedWithoutContext{src}, FetchTimeout: 5 * time.Second}
		for range 2 {
			asError(t, ask(t.Context(), cache).err)
			time.Sleep(2 * time.Second)
		}
		wantToken(t, cache, "token-3")
		time.Sleep(2 * time.Hour)
		wantToken(t, cache, "token-4") // not the late one
	})
}

type unsharedWithoutContext struct{ oauth2.TokenSource }

func (unsharedWithoutContext) SingleUse() bool { return true }
