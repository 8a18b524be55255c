package sandbox_test

// What the providers refuse, and what the sandbox counts: credentials, headers,
// tokens that are spent, revoked or expired.

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestRefusedTokenRequests(t *testing.T) {
	const (
		unauthorised   = `{"success":false,"message":"Unauthorised request"}`
		keyRequired    = `{"success":false,"message":"Api key is required"}`
		invalidClient  = `{"error":"invalid_client","error_description":"The client credentials are invalid."}`
		invalidHeaders = `{"errorCode":"E0000021","errorSummary":"Bad request. Accept and/or Content-Type headers likely do not match supported values.",` +
			`"errorLink":"E0000021","errorId":"oaeJCQnzjWAQ4-f45F5RNGskA","errorCauses":[]}`
	)
	body := func(s string) func(*http.Request) {
		return func(r *http.Request) {
			fresh, _ := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(s))
			r.Body, r.ContentLength, r.GetBody = fresh.Body, fresh.ContentLength, fresh.GetBody
		}
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	for _, test := range []struct {
		name     string
		provider sandbox.Provider
		spoil    func(*http.Request)
		status   int
		body     string
	}{
		{"Blink: wrong secret", sandbox.Blink, body(`{"api_key":"` + sandbox.ID + `","secret_key":"wrong"}`), 401, unauthorised},
		{"Blink: wrong id", sandbox.Blink, body(`{"api_key":"wrong","secret_key":"` + sandbox.Secret + `"}`), 401, unauthorised},
		{"Blink: no keys", sandbox.Blink, body(`{}`), 400, keyRequired},
		{"Blink: no body", sandbox.Blink, body(``), 400, keyRequired},
		{"Blink: keys of another type", sandbox.Blink, body(`{"api_key":1,"secret_key":2}`), 400, keyRequired},
		{"Blink: keys not sent as JSON", sandbox.Blink, header("Content-Type", "text/plain"), 400, keyRequired},
		{"BlinkLegacy: wrong secret", sandbox.BlinkLegacy, body(`{"api_key":"` + sandbox.ID + `","secret_key":"wrong"}`), 401, `{"error":"Unauthorised request"}`},
		{"BlinkLegacy: no keys", sandbox.BlinkLegacy, body(`{}`), 400, `{"error":"Api key is required"}`},
		{"Flinks: wrong password", sandbox.Flinks, basic(sandbox.ID, "wrong"), 401, ""},
		{"Flinks: no credentials", sandbox.Flinks, header("Authorization"), 401, ""},
		{"Flinks: another grant", sandbox.Flinks, body("grant_type=password"), 400, ""},
		{"Flinks: JSON", sandbox.Flinks, header("Content-Type", "application/json"), 400, ""},
		{"Blackhawk: wrong secret", sandbox.Blackhawk, basic(sandbox.ID, "wrong"), 401, invalidClient},
		{"Blackhawk: no credentials", sandbox.Blackhawk, header("Authorization"), 401, invalidClient},
		{"Blackhawk: another grant", sandbox.Blackhawk, body("grant_type=password"), 400, `{"error":"unsupported_grant_type","error_description":"Send grant_type=client_credentials."}`},
		{"Blackhawk: JSON", sandbox.Blackhawk, header("Content-Type", "application/json"), 400, invalidHeaders},
		{"Blackhawk: no Accept", sandbox.Blackhawk, header("Accept"), 400, invalidHeaders},
		{"Blackhawk: no response_type", sandbox.Blackhawk, header("response_type"), 400, invalidHeaders},
		{"Blackhawk: another response_type", sandbox.Blackhawk, header("response_type", "token"), 400, invalidHeaders},
	} {
		t.Run(test.name, func(t *testing.T) {
			everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
				r := tokenRequest(t, sb, test.provider)
				test.spoil(r)
				resp, body := do(t, sb, r)
				if resp.StatusCode != test.status || body != test.body {
					t.Errorf("got %d %s\nwant %d %s", resp.StatusCode, body, test.status, test.body)
				}
				want := sandbox.Counts{TokenRequests: 1}
				if got := sb.Ledger()[test.provider]; got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}

// The name of the header has an underscore and must go out in exactly this
// case; Go's Header.Set makes it Response_type.
func TestResponseTypeCase(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		// One connection serves them all: each request counts for itself.
		for _, test := range []struct {
			name   string
			status int
		}{
			{"response_type", 200}, {"Response_type", 400}, {"response_type", 200}, {"RESPONSE_TYPE", 400},
			{"Response-Type", 400}, {"response_type", 200},
		} {
			r := tokenRequest(t, sb, sandbox.Blackhawk)
			delete(r.Header, "response_type")
			r.Header[test.name] = []string{"token id_token"}
			// Wherever the name falls into the server's reads, it is found.
			r.Header.Set("X-Filler", strings.Repeat("x", 3900))
			if resp, _ := do(t, sb, r); resp.StatusCode != test.status {
				t.Errorf("%s: got %s, want %d", test.name, resp.Status, test.status)
			}
		}
	})
}

func TestResponseTypeAcrossReads(t *testing.T) {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()
	// The server reads 4096 bytes at a time: move the name across that border.
	for filler := 3600; filler < 4100; filler += 3 {
		r := tokenRequest(t, sb, sandbox.Blackhawk)
		r.Header.Set("A-Filler", strings.Repeat("x", filler))
		if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusOK {
			t.Fatalf("behind %d bytes: got %s", filler, resp.Status)
		}
	}
}

func TestCredentialsOfConfig(t *testing.T) {
	// Raw in Basic, escaped in a form: what x/oauth2 would do to them fails.
	config := sandbox.Config{ID: "an id", Secret: "a+b/c%3D:\u00e9"}
	everywhere(t, config, func(t *testing.T, sb *sandbox.Sandbox) {
		for _, p := range []sandbox.Provider{sandbox.Flinks, sandbox.Blackhawk} {
			r := tokenRequest(t, sb, p)
			r.SetBasicAuth(config.ID, config.Secret)
			if resp, body := do(t, sb, r); resp.StatusCode != http.StatusOK {
				t.Errorf("%s: got %s %s", p, resp.Status, body)
			}
			r = tokenRequest(t, sb, p)
			r.SetBasicAuth(url.QueryEscape(config.ID), url.QueryEscape(config.Secret))
			if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: got %s for escaped credentials", p, resp.Status)
			}
		}
		form := url.Values{"grant_type": {"client_credentials"}, "Username": {config.ID}, "Password": {config.Secret}}
		r := request(t, sb.URL+"/api/v1/authorize", "application/x-www-form-urlencoded", form.Encode())
		if resp, body := do(t, sb, r); resp.StatusCode != http.StatusOK {
			t.Errorf("flinks, form: got %s %s", resp.Status, body)
		}
	})
}

func TestOtherPathsAndMethods(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		r := request(t, sb.URL+"/elsewhere", "text/plain", "")
		if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusNotFound {
			t.Errorf("another path: got %s", resp.Status)
		}
		r = tokenRequest(t, sb, sandbox.Blink)
		r.Method = http.MethodPut
		if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("PUT: got %s", resp.Status)
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

func TestLedger(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		first := newToken(t, sb, sandbox.BlinkLegacy)
		resp, body := do(t, sb, refreshRequest(t, sb, first))
		second := accessToken(t, resp, body)
		if first == second {
			t.Error("a token was issued twice")
		}
		do(t, sb, refreshRequest(t, sb, "unknown")) // 401
		call(t, sb, sandbox.BlinkLegacy, first)
		call(t, sb, sandbox.BlinkLegacy, second)
		call(t, sb, sandbox.BlinkLegacy, "unknown")
		call(t, sb, sandbox.Blink, second) // of another provider
		ledger := sb.Ledger()
		want := sandbox.Counts{TokenRequests: 3, Refreshes: 2, TokensIssued: 2, Accepted: 2, Rejected: 1}
		if got := ledger[sandbox.BlinkLegacy]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, want := ledger[sandbox.Blink], (sandbox.Counts{Rejected: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, ok := ledger[sandbox.Flinks]; !ok || got != (sandbox.Counts{}) {
			t.Errorf("got %+v for the provider that nobody called", got)
		}
		delete(ledger, sandbox.BlinkLegacy)
		if sb.Ledger()[sandbox.BlinkLegacy] != want {
			t.Error("Ledger does not return a copy")
		}
	})
}

// Row 34: single-use tokens never shared
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

func TestRevoke(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		for _, p := range sandbox.Providers() {
			early := newToken(t, sb, p)
			sb.Revoke(p)
			late := newToken(t, sb, p)
			if got := call(t, sb, p, early); got != http.StatusUnauthorized {
				t.Errorf("%s: got %d for a revoked token", p, got)
			}
			if got := call(t, sb, p, late); got != http.StatusOK {
				t.Errorf("%s: got %d for a token issued since", p, got)
			}
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

func TestRefreshTakesAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{TokenLifetime: time.Minute})
		token := newToken(t, sb, sandbox.BlinkLegacy)
		time.Sleep(time.Hour)
		resp, body := do(t, sb, refreshRequest(t, sb, token))
		if call(t, sb, sandbox.BlinkLegacy, accessToken(t, resp, body)) != http.StatusOK {
			t.Error("the refreshed token is rejected")
		}
		sb.Revoke(sandbox.BlinkLegacy)
		if resp, _ := do(t, sb, refreshRequest(t, sb, token)); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %s for a revoked token", resp.Status)
		}
	})
}

func TestMutualTLS(t *testing.T) {
	sb := sandbox.New(sandbox.Config{RequireClientCert: true})
	defer sb.Close()
	newToken(t, sb, sandbox.Blackhawk)

	bare := sb.Client().Transport.(*http.Transport).Clone()
	defer bare.CloseIdleConnections()
	bare.TLSClientConfig.Certificates = nil
	resp, err := (&http.Client{Transport: bare}).Do(tokenRequest(t, sb, sandbox.Blackhawk))
	if err == nil {
		resp.Body.Close()
		t.Errorf("got %s without a client certificate", resp.Status)
	}
	if got := sb.Ledger()[sandbox.Blackhawk].TokenRequests; got != 1 {
		t.Errorf("%d requests arrived, want 1", got)
	}
}

func TestCertificateIsTrustedByItsClientOnly(t *testing.T) {
	sb, other := sandbox.New(sandbox.Config{}), sandbox.New(sandbox.Config{})
	defer sb.Close()
	defer other.Close()
	if resp, err := other.Client().Do(tokenRequest(t, sb, sandbox.Blink)); err == nil {
		resp.Body.Close()
		t.Error("another sandbox's client trusts the certificate")
	}
}
