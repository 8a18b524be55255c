package tokensource_test

// Blink's legacy API through the Cache: its tokens are refreshed, also when they
// have expired, and created anew where the refresh is refused.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/tokensource-go/tokensource"
)

// legacyBlink is the token endpoint; it keeps a list of what it was asked for.
type legacyBlink struct {
	requests      []string // "create", "refresh token-1"
	refreshStatus int
}

func (l *legacyBlink) cache() *tokensource.Cache {
	tok := func(status int) (*http.Response, error) {
		return httpmock.NewStringResponse(status, fmt.Sprintf(`{"access_token": "token-%d", "expired_on": %q}`,
			len(l.requests), time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339))), nil
	}
	wire := httpmock.NewMockTransport()
	wire.RegisterResponder("POST", "https://blink.example/api/v1/pay/token", func(*http.Request) (*http.Response, error) {
		l.requests = append(l.requests, "create")
		return tok(200)
	})
	wire.RegisterResponder("POST", "https://blink.example/api/v1/pay/token/refresh", func(req *http.Request) (*http.Response, error) {
		var message map[string]string
		err := json.NewDecoder(req.Body).Decode(&message)
		l.requests = append(l.requests, "refresh "+message["access_token"])
		if err != nil || len(message) != 1 {
			return httpmock.NewStringResponse(400, ""), err
		}
		return tok(l.refreshStatus)
	})
	return &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials("key", "secret"),
		BaseURL:     "https://blink.example", Legacy: true, HTTPClient: &http.Client{Transport: wire},
	}}
}

func TestLegacyBlinkTokenIsRefreshed(t *testing.T) {
	for name, c := range map[string]struct {
		wait       time.Duration
		invalidate bool
		status     int
		want       []string
	}{
		"by timer, in the early window":              {29 * time.Minute, false, 200, []string{"create", "refresh token-1"}},
		"with an earlier token that has expired":     {2 * time.Hour, false, 200, []string{"create", "refresh token-1", "refresh token-2"}},
		"a token that the API rejected is no ticket": {0, true, 200, []string{"create", "create"}},
		"refused (400): created in the same flight":  {29 * time.Minute, false, 400, []string{"create", "refresh token-1", "create"}},
		"refused (401): created in the same flight":  {29 * time.Minute, false, 401, []string{"create", "refresh token-1", "create"}},
		"gone (404): created in the same flight":     {29 * time.Minute, false, 404, []string{"create", "refresh token-1", "create"}},
		"failing (503): the second try creates one":  {29 * time.Minute, false, 503, []string{"create", "refresh token-1", "create"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := &legacyBlink{refreshStatus: c.status}
				cache := endpoint.cache()
				defer cache.Close()
				tok, err := cache.Token()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.wait)
				if c.invalidate {
					cache.Invalidate(tok)
				}
				a := ask(t.Context(), cache)
				if want := tokenNo(len(c.want)).AccessToken; a.err != nil || a.access != want {
					t.Fatalf("got %q, %v, want %q", a.access, a.err, want)
				}
				if !slices.Equal(endpoint.requests, c.want) {
					t.Fatalf("requests %q, want %q", endpoint.requests, c.want)
				}
			})
		})
	}
}

// The second token of the pair lapses unused; the next caller must get a token
// even so, whatever the endpoint makes of the expired one.
func TestLegacyBlinkRefreshOfAnExpiredTokenFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &legacyBlink{refreshStatus: 200}
		cache := endpoint.cache()
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		endpoint.refreshStatus = 403
		wantToken(t, cache, "token-4")
		want := []string{"create", "refresh token-1", "refresh token-2", "create"}
		if !slices.Equal(endpoint.requests, want) {
			t.Fatalf("requests %q, want %q", endpoint.requests, want)
		}
	})
}

// Row 31: secret and file rotation
//
// A refresh needs no keys, so the chain of refreshes would outlive the keys
// that it began with.
func TestLegacyBlinkTokenIsCreatedAnewWithRotatedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &legacyBlink{refreshStatus: 200}
		cache := l.cache()
		cache.Synchronous = true
		key := "key"
		cache.Source.(*tokensource.Blink).Credentials = func(context.Context) (string, string, error) { return key, "secret", nil }
		for _, key = range []string{"key", "key", "rotated key", "rotated key"} {
			if a := ask(t.Context(), cache); a.err != nil {
				t.Fatal(a.err)
			}
			time.Sleep(2 * time.Hour)
		}
		want := []string{"create", "refresh token-1", "create", "refresh token-3"}
		if !slices.Equal(l.requests, want) {
			t.Errorf("requests %q, want %q", l.requests, want)
		}
	})
}
