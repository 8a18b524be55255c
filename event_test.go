package tokensource_test

// What a program can see of the Cache: events of every kind, one type of error,
// and in neither a secret, a token or a body.

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
	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Row 33: event hook for metrics and traces
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
			OnEvent: func(e tokensource.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			},
		}
		defer cache.Close()
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

		cache.Invalidate(tok)
		e = happened(tokensource.EventInvalidated)
		wantBetween(t, "invalidated: expires in", e.ExpiresIn, 90*time.Second, 120*time.Second)

		// Without a token, calls fail at once until the hold is over.
		ask(t.Context(), cache)
		e = happened(tokensource.EventHeld)
		if asError(t, e.Err).RetryAfter <= 0 {
			t.Fatalf("held: %+v", e)
		}
		time.Sleep(time.Second)
		status.Store(200)
		ask(t.Context(), cache)
		happened(tokensource.EventFetched)

		// Where the replacement is rejected as well, it is kept for a while.
		cache.Invalidate(tok)
		happened(tokensource.EventInvalidated)
		ask(t.Context(), cache)
		happened(tokensource.EventFetched)
		cache.Invalidate(tok)
		if e = happened(tokensource.EventHeld); e.Err != nil || e.ExpiresIn != 600*time.Second-latency {
			t.Fatalf("held: %+v", e)
		}
	})
}

// Row 33: event hook for metrics and traces
func TestEventsOfAForeignSourceNameNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []tokensource.Event
		cache := &tokensource.Cache{
			Source:  &scriptedSource{reply: failing(1, 1, errRefusal, time.Hour)},
			OnEvent: func(e tokensource.Event) { events = append(events, e) },
		}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(time.Second)
		ask(t.Context(), cache)
		want := []tokensource.Event{
			{Kind: tokensource.EventFailed, Err: errRefusal},
			{Kind: tokensource.EventFetched, ExpiresIn: time.Hour},
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
