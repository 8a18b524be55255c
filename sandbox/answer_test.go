package sandbox_test

// Paths and methods, and what becomes of a token.

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestOtherPathsAndMethods(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		r := request(t, sb.URL+"/elsewhere", "text/plain", "")
		if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusNotFound {
			t.Errorf("another path: got %s", resp.Status)
		}
		requests := []*http.Request{refreshRequest(t, sb, newToken(t, sb, sandbox.BlinkLegacy))}
		for _, p := range sandbox.Providers() {
			requests = append(requests, tokenRequest(t, sb, p))
		}
		for _, r := range requests {
			r.Method = http.MethodPut
			if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
				t.Errorf("PUT %s: got %s, Allow %q", r.URL.Path, resp.Status, resp.Header.Get("Allow"))
			}
		}
		token := newToken(t, sb, sandbox.Blink)
		for _, method := range []string{"GET", "HEAD", "DELETE", "PATCH"} {
			r := request(t, sb.APIURL(sandbox.Blink)+"/17", "application/json", "")
			r.Method = method
			r.Header.Set("Authorization", "bearer "+token) // the scheme has no case
			resp, body := do(t, sb, r)
			if want := map[bool]string{true: "", false: `{"ok":true}`}[method == "HEAD"]; resp.StatusCode != 200 || body != want {
				t.Errorf("%s: got %s %s", method, resp.Status, body)
			}
			if resp.ContentLength != int64(len(`{"ok":true}`)) {
				t.Errorf("%s: got Content-Length %d", method, resp.ContentLength)
			}
		}
	})
}

func TestSingleUseToken(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		token := newToken(t, sb, sandbox.Flinks)
		r := request(t, sb.APIURL(sandbox.Flinks), "application/json", "{}")
		r.Header.Set("Authorization", "Bearer "+token)
		if _, body := do(t, sb, r); !strings.Contains(body, `"sessionId":"`) || !strings.Contains(body, `"referenceId":"`) {
			t.Errorf("got %s, want a session", body)
		}
		r = request(t, sb.URL+"/api/v1/sessions/17/payments", "application/json", "{}")
		r.Header.Set("Authorization", "Bearer "+token)
		if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusOK {
			t.Errorf("got %s for the rest of the session", resp.Status)
		}
		if got := call(t, sb, sandbox.Flinks, token); got != http.StatusUnauthorized {
			t.Errorf("got %d for a second session", got)
		}
		want := sandbox.Counts{TokenRequests: 1, TokensIssued: 1, Accepted: 2, Rejected: 1, ReusedSingleUse: 1}
		if got := sb.Ledger()[sandbox.Flinks]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestReusableToken(t *testing.T) {
	everywhere(t, sandbox.Config{FlinksReusable: true}, func(t *testing.T, sb *sandbox.Sandbox) {
		resp, body := do(t, sb, tokenRequest(t, sb, sandbox.Flinks))
		if !strings.Contains(body, `"expires_in":599`) {
			t.Errorf("got %s, want 599 s", body)
		}
		for range 3 {
			if got := call(t, sb, sandbox.Flinks, accessToken(t, resp, body)); got != http.StatusOK {
				t.Errorf("got %d", got)
			}
		}
		if got := sb.Ledger()[sandbox.Flinks].ReusedSingleUse; got != 0 {
			t.Errorf("%d tokens count as reused", got)
		}
	})
}

func TestExpiry(t *testing.T) {
	documented := map[sandbox.Provider]time.Duration{
		sandbox.Blink: 30 * time.Minute, sandbox.BlinkLegacy: 30 * time.Minute,
		sandbox.Flinks: 299 * time.Second, sandbox.Blackhawk: 600 * time.Second,
	}
	for p, life := range documented {
		t.Run(string(p), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sb := sandbox.NewInProcess(sandbox.Config{})
				check := func(when string, token string, want int) {
					t.Helper()
					if got := call(t, sb, p, token); got != want {
						t.Errorf("%s: got %d, want %d", when, got, want)
					}
				}
				token, unused := newToken(t, sb, p), newToken(t, sb, p)
				time.Sleep(life - time.Nanosecond)
				check("before the expiry", token, 200)
				time.Sleep(time.Nanosecond)
				check("at the expiry", unused, 401)

				sb.SetTokenLifetime(time.Second)
				token = newToken(t, sb, p)
				time.Sleep(time.Second)
				check("after a shorter lifetime", token, 401)

				sb.SetTokenLifetime(0) // the documented one again
				token, unused = newToken(t, sb, p), newToken(t, sb, p)
				sb.SetClockOffset(life - time.Second)
				check("the server's clock goes fast", token, 200)
				sb.SetClockOffset(life)
				check("the server's clock has reached the expiry", unused, 401)
			})
		})
	}
}
