package tokensource_test

// What a program can see of the Cache: events of every kind, one type of error,
// and in neither a secret, a token or a body.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/storetest"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 500 * time.Millisecond
		const secret, access, body = "secret-9e07", "access-41b2", "body-77aa"
		var status atomic.Int64
		status.Store(200)
		wire := httpmock.NewMockTransport()
		wire.RegisterResponder("POST", "https://bhn.example/api/auth", func(*http.Request) (*http.Response, error) {
			time.Sleep(latency)
			return httpmock.NewStringResponse(int(status.Load()), fmt.Sprintf(
				`{"access_token": %q, "expires_in": 600, "error": "invalid_scope", "note": %q}`, access, body)), nil
		})
		var mu sync.Mutex
		var events []tokensource.Event
		cache := &tokensource.Cache{
			Source: &tokensource.Blackhawk{
				Credentials: tokensource.StaticCredentials("client-5f1c", secret),
				BaseURL:     "bhn.example", HTTPClient: &http.Client{Transport: wire},
			},
			OnEvent: func(_ context.Context, e tokensource.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			},
		}
		defer cache.Close()
		// waited drops the event of a call that waited.
		waited := func() {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			last := len(events) - 1
			if last < 0 || events[last].Kind != tokensource.EventWaited || events[last].Duration != latency {
				t.Fatalf("got %+v, want a call that waited at last", events)
			}
			events = events[:last]
		}
		// happened returns the one event since the last time.
		happened := func(kind tokensource.EventKind) tokensource.Event {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(events) != 1 || events[0].Kind != kind || events[0].Provider != "blackhawk" {
				t.Fatalf("got %+v, want one event of kind %q", events, kind)
			}
			e := events[0]
			events = nil
			for _, text := range []string{fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
				for _, s := range []string{secret, access, body} {
					if strings.Contains(text, s) {
						t.Fatalf("an event holds %q: %s", s, text)
					}
				}
			}
			return e
		}

		tok, err := cache.Token()
		if err != nil {
			t.Fatal(err)
		}
		waited()
		e := happened(tokensource.EventFetched)
		if e.Err != nil || e.Duration != latency || e.ExpiresIn != 600*time.Second-latency {
			t.Fatalf("fetched: %+v", e)
		}

		// In the early window a caller is served while the refresh is under way.
		time.Sleep(time.Until(tokensource.WindowOpens(cache)) + latency/2)
		ask(t.Context(), cache)
		e = happened(tokensource.EventServed)
		wantBetween(t, "served: expires in", e.ExpiresIn, 90*time.Second, 120*time.Second)
		time.Sleep(latency)
		if e = happened(tokensource.EventFetched); e.Duration != latency {
			t.Fatalf("fetched by timer: %+v", e)
		}
		ask(t.Context(), cache)

		// The refresh fails; the valid token is served without an event for each call.
		status.Store(400)
		time.Sleep(time.Until(tokensource.WindowOpens(cache)) + latency)
		e = happened(tokensource.EventFailed)
		if asError(t, e.Err); e.Duration != latency || asError(t, e.Err).Status != 400 {
			t.Fatalf("failed: %+v", e)
		}
		ask(t.Context(), cache)

		// While its refresh is failing, a rejected token is kept.
		cache.Invalidate(tok)
		e = happened(tokensource.EventHeld)
		wantBetween(t, "kept: expires in", e.ExpiresIn, 90*time.Second, 120*time.Second)

		// Without a token, calls fail at once until the hold is over.
		time.Sleep(e.ExpiresIn - 10*time.Second)
		synctest.Wait()
		mu.Lock()
		events = nil
		mu.Unlock()
		ask(t.Context(), cache)
		waited()
		e = happened(tokensource.EventFailed)
		ask(t.Context(), cache)
		e = happened(tokensource.EventHeld)
		if asError(t, e.Err).RetryAfter <= 0 {
			t.Fatalf("held: %+v", e)
		}
		time.Sleep(e.Err.(*tokensource.Error).RetryAfter)
		status.Store(200)
		ask(t.Context(), cache)
		waited()
		happened(tokensource.EventFetched)

		// A replacement that is rejected as well is kept for a while. (The
		// endpoint returns the same token every time.)
		time.Sleep(2 * time.Minute)
		cache.Invalidate(tok)
		happened(tokensource.EventInvalidated)
		ask(t.Context(), cache)
		waited()
		happened(tokensource.EventFetched)
		cache.Invalidate(tok)
		if e = happened(tokensource.EventHeld); e.Err != nil || e.ExpiresIn != 600*time.Second-latency {
			t.Fatalf("held: %+v", e)
		}
	})
}

func TestEventsOfAForeignSourceNameNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []tokensource.Event
		cache := &tokensource.Cache{
			Source:  &scriptedSource{reply: failing(1, 1, errRefusal, time.Hour)},
			OnEvent: func(_ context.Context, e tokensource.Event) { events = append(events, e) },
		}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(time.Second)
		ask(t.Context(), cache)
		want := []tokensource.Event{
			{Kind: tokensource.EventFailed, Err: errRefusal, Attempts: 1},
			{Kind: tokensource.EventWaited, Err: errRefusal},
			{Kind: tokensource.EventFetched, ExpiresIn: time.Hour, Attempts: 1},
			{Kind: tokensource.EventWaited, ExpiresIn: time.Hour},
		}
		if !slices.Equal(events, want) {
			t.Fatalf("got %+v, want %+v", events, want)
		}
	})
}

// google-api-go-client#548, toolhive#5082: the token endpoint's body, and the
// secret it echoed, in an error text. Around x/oauth2's own client credentials
// the Cache tells no more than status and code, and errors.As still finds what
// it found before.
func TestErrorsOfAForeignSourceHoldNoBody(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		header      http.Header
		body        string
		credentials bool
		temporary   bool
		retryAfter  time.Duration
		requests    int
		code, text  string
	}{
		"credentials rejected": {
			status: 401, body: `{"error": "invalid_client", "error_description": "unknown client", "echo": "secret-9e07"}`,
			credentials: true, requests: 1, code: "invalid_client", text: "401 Unauthorized: invalid_client: unknown client",
		},
		"rate limit": {
			status: 429, header: http.Header{"Retry-After": {"120"}}, body: "secret-9e07",
			temporary: true, retryAfter: 2 * time.Minute, requests: 1, text: "retry after 2m0s",
		},
		"an error page": {
			status: 502, body: "<html>secret-9e07</html>", temporary: true, requests: 3, text: "502 Bad Gateway",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				wire := httpmock.NewMockTransport()
				wire.RegisterResponder("POST", "https://idp.example/token", func(*http.Request) (*http.Response, error) {
					requests++
					resp := httpmock.NewStringResponse(c.status, c.body)
					if resp.Header.Set("Content-Type", "application/json"); c.header != nil {
						resp.Header = c.header
					}
					return resp, nil
				})
				config := clientcredentials.Config{
					ClientID: "id", ClientSecret: "secret-9e07", TokenURL: "https://idp.example/token", AuthStyle: oauth2.AuthStyleInHeader,
				}
				cache := &tokensource.Cache{Source: config.TokenSource(
					context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: wire}))}
				err := ask(t.Context(), cache).err
				e := asError(t, err)
				if e.Status != c.status || e.Code != c.code || e.Temporary() != c.temporary || e.RetryAfter != c.retryAfter || requests != c.requests {
					t.Fatalf("got %+v after %d requests", *e, requests)
				}
				if text := fmt.Sprintf("%v %+v", err, e); strings.Contains(text, "secret-9e07") || !strings.Contains(text, c.text) {
					t.Fatalf("the text is %q", text)
				}
				if errors.Is(err, tokensource.ErrCredentials) != c.credentials {
					t.Fatalf("ErrCredentials: %v, want %v", !c.credentials, c.credentials)
				}
				var re *oauth2.RetrieveError
				if !errors.As(err, &re) || re.Response.StatusCode != c.status {
					t.Fatalf("errors.As finds %v", re)
				}
			})
		})
	}
}

// A metrics exporter may use a client of the same Cache: its hook never returned,
// or until FetchTimeout.
func TestHooksMayCallTheCache(t *testing.T) {
	outageOf := func(calls int, lifetime time.Duration) *scriptedSource {
		return &scriptedSource{reply: failing(1, calls, errRefusal, lifetime)}
	}
	for name, source := range map[string]func() oauth2.TokenSource{
		"fetched and served": func() oauth2.TokenSource { return &scriptedSource{lifetime: time.Minute} },
		"failed and held":    func() oauth2.TokenSource { return outageOf(5, time.Minute) },
		"single use":         func() oauth2.TokenSource { return mint{&scriptedSource{lifetime: time.Minute}} },
		"single use, failed": func() oauth2.TokenSource { return mint{outageOf(5, time.Minute)} },
	} {
		for hookName, hook := range map[string]func(*tokensource.Cache, context.Context){
			"Token":        func(c *tokensource.Cache, _ context.Context) { c.Token() },
			"TokenContext": func(c *tokensource.Cache, ctx context.Context) { c.TokenContext(ctx) },
			"both, twice": func(c *tokensource.Cache, ctx context.Context) {
				c.TokenContext(ctx)
				c.Token()
				c.Invalidate(tokenNo(1))
				c.Token()
			},
		} {
			t.Run(name+", "+hookName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told atomic.Int32
					cache := &tokensource.Cache{Source: source(), FetchTimeout: 10 * time.Minute}
					cache.OnEvent = func(ctx context.Context, _ tokensource.Event) { told.Add(1); hook(cache, ctx) }
					cache.OnToken = func(ctx context.Context, _ *oauth2.Token) error { hook(cache, ctx); return nil }
					defer cache.Close()
					for range 300 {
						if a := ask(t.Context(), cache); a.waited != 0 {
							t.Fatalf("a call took %v", a.waited)
						}
						time.Sleep(time.Second)
					}
					if a := ask(t.Context(), cache); a.err != nil {
						t.Fatalf("at last: %v", a.err)
					}
					if n := told.Load(); n == 0 || n > 3*301 {
						t.Fatalf("OnEvent was called %d times in 301 calls", n)
					}
				})
			})
		}
	}
}

// A hook may have its call made by another goroutine, where nothing shows that it
// comes from a hook.
func TestOnEventThatWaitsForAnotherGoroutinesCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Memory{Before: func(context.Context, string, string) error { return errors.New("connection refused") }}
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour, latency: time.Second}, Store: store, StoreKey: []byte("key")}
		defer cache.Close()
		told := make(chan answer, 1)
		cache.OnEvent = func(_ context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventStoreFailed {
				done := make(chan answer)
				go func() { done <- ask(t.Context(), cache) }()
				told <- <-done
			}
		}
		if a := ask(t.Context(), cache); a.err != nil || a.waited != time.Second {
			t.Errorf("the call got %q, %v after %v", a.access, a.err, a.waited)
		}
		if a := <-told; a.err != nil || a.waited != 0 {
			t.Errorf("the hook's call got %q, %v after %v", a.access, a.err, a.waited)
		}
	})
}

// OnToken that asks for the token that it is to approve is told so.
func TestOnTokenThatWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside error
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}}
		cache.OnToken = func(ctx context.Context, _ *oauth2.Token) error {
			_, inside = cache.TokenContext(ctx)
			return nil
		}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		if asError(t, inside); !strings.Contains(inside.Error(), "OnToken or OnEvent called the Cache") {
			t.Fatalf("OnToken's call got %v", inside)
		}
	})
}

func TestSingleUseTokensExpireInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{Source: newFlinksPay(time.Second, 0).Flinks, OnEvent: func(_ context.Context, e tokensource.Event) {
			if e.ExpiresIn != 298*time.Second {
				t.Errorf("%q: expires in %v", e.Kind, e.ExpiresIn)
			}
		}}
		defer cache.Close()
		ask(t.Context(), cache)
	})
}

func TestRejectedTokenThatHadExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last tokensource.Event
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Minute}, Synchronous: true}
		cache.OnEvent = func(_ context.Context, e tokensource.Event) { last = e }
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(2 * time.Minute) // the API's answer took that long
		cache.Invalidate(tokenNo(1))
		if last.Kind != tokensource.EventInvalidated || last.ExpiresIn != 0 {
			t.Errorf("the event is %+v", last)
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(2, always, errRefusal, time.Hour)}
		cache := &tokensource.Cache{Source: src}
		defer cache.Close()
		if st := cache.Status(); st != (tokensource.Status{}) {
			t.Errorf("before the first call: %+v", st)
		}
		ask(t.Context(), cache)
		st, window := cache.Status(), tokensource.WindowOpens(cache)
		if !st.Valid || !st.Expiry.Equal(time.Now().Add(time.Hour)) || !st.NextRefresh.Equal(window) || st.Err != nil || !st.HeldUntil.IsZero() {
			t.Errorf("with a token: %+v", st)
		}
		time.Sleep(time.Until(window) + time.Millisecond)
		st = cache.Status()
		if !st.Valid || !errors.Is(st.Err, errRefusal.Err) || !st.NextRefresh.Equal(st.HeldUntil) {
			t.Errorf("after a failed refresh: %+v", st)
		}
		wantBetween(t, "next attempt", time.Until(st.NextRefresh), time.Millisecond, time.Second)
		time.Sleep(time.Until(st.Expiry))
		ask(t.Context(), cache)
		st = cache.Status()
		if st.Valid || st.Err == nil || !st.HeldUntil.After(time.Now()) {
			t.Errorf("without a token: %+v", st)
		}
		wantCalls(t, src, len(src.calls())) // Status asked for none
	})
}

// Status told of a hold of up to 30 s when the calls that found no ready token would
// have failed for no more than 5 s.
func TestStatusOfReadyTokensInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{reply: failing(10, always, errRefusal, 24*time.Hour)}
		cache := &tokensource.Cache{Source: mint{src}, Ready: 8}
		defer cache.Close()
		for range 6 {
			if a := ask(t.Context(), cache); a.err != nil {
				t.Fatal(a.err)
			}
			time.Sleep(30 * time.Second)
			st := cache.Status()
			failing := len(src.calls()) >= 10
			if !st.Valid || failing && st.Err == nil || time.Until(st.HeldUntil) > 5*time.Second {
				t.Errorf("%d ready tokens; the error is %v, held for %v", st.Ready, st.Err, time.Until(st.HeldUntil))
			}
		}
	})
}

func TestEventAsALogValue(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	logger.Info("token", "event", tokensource.Event{Kind: tokensource.EventFetched, Provider: "blink", Duration: time.Second, ExpiresIn: time.Minute, Attempts: 2})
	logger.Info("token", "event", tokensource.Event{Kind: tokensource.EventFailed, Err: errRefusal})
	want := `level=INFO msg=token event.kind=fetched event.provider=blink event.duration=1s event.expires_in=1m0s event.attempts=2
level=INFO msg=token event.kind=failed event.error="tokensource: 400 Bad Request: the request was refused"
`
	if log.String() != want {
		t.Errorf("got\n%swant\n%s", log.String(), want)
	}
}

// Nor does a call from within OnEvent wait, while another goroutine's is served.
func TestOnEventThatFindsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside error
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour, latency: time.Second}}
		cache.OnEvent = func(ctx context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventInvalidated {
				a := ask(ctx, cache)
				inside = a.err
				if beside := crowd(ctx, cache, 1)[0]; a.waited != 0 || beside.access != "token-2" {
					t.Errorf("the hook waited %v; beside it a caller got %q, %v", a.waited, beside.access, beside.err)
				}
			}
		}
		defer cache.Close()
		ask(t.Context(), cache)
		cache.Invalidate(tokenNo(1))
		if asError(t, inside); !strings.Contains(inside.Error(), "OnToken or OnEvent called the Cache") {
			t.Fatalf("OnEvent's call got %v", inside)
		}
		wantToken(t, cache, "token-2")
	})
}

// A hook that calls the Cache kept the token of an idle program in use: each refresh
// told of itself, and so began the next.
func TestTokenThatOnlyOnEventAsksForLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: 30 * time.Minute}
		cache := &tokensource.Cache{Source: src}
		cache.OnEvent = func(context.Context, tokensource.Event) {
			if _, err := cache.Token(); err != nil {
				t.Error(err)
			}
		}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(24 * time.Hour)
		wantCalls(t, src, 2)
	})
}
