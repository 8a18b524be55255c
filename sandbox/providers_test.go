package sandbox_test

// What a client meets of each provider: answers as documented, and refusals.

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestDocumentedAnswers(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		for _, p := range sandbox.Providers() {
			resp, body := do(t, sb, tokenRequest(t, sb, p))
			want := http.StatusOK
			if p == sandbox.Blink {
				want = http.StatusCreated
			}
			if resp.StatusCode != want {
				t.Errorf("%s: got %s, want %d", p, resp.Status, want)
			}
			if got := anonymous(body); got != samples[p] {
				t.Errorf("%s:\ngot  %s\nwant %s", p, got, samples[p])
			}
			if got := resp.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("%s: got Content-Type %q", p, got)
			}
			chunked := slices.Equal(resp.TransferEncoding, []string{"chunked"}) && resp.ContentLength == -1
			if p == sandbox.Blink && !chunked || p != sandbox.Blink && resp.ContentLength != int64(len(body)) {
				t.Errorf("%s: got Transfer-Encoding %q, Content-Length %d", p, resp.TransferEncoding, resp.ContentLength)
			}
			if got := call(t, sb, p, accessToken(t, resp, body)); got != http.StatusOK {
				t.Errorf("%s: the API answered %d to a new token", p, got)
			}
			if got := call(t, sb, p, "unknown"); got != http.StatusUnauthorized {
				t.Errorf("%s: the API answered %d to a foreign token", p, got)
			}
		}
		resp, body := do(t, sb, refreshRequest(t, sb, newToken(t, sb, sandbox.BlinkLegacy)))
		if got := anonymous(body); resp.StatusCode != http.StatusOK || got != refreshSample {
			t.Errorf("refresh: got %s\n%s, want\n%s", resp.Status, got, refreshSample)
		}
		if got := call(t, sb, sandbox.BlinkLegacy, accessToken(t, resp, body)); got != http.StatusOK {
			t.Errorf("refresh: the API answered %d to the new token", got)
		}
		r := request(t, sb.URL+"/authentication/auth", "", "grant_type=client_credentials")
		r.Header = tokenRequest(t, sb, sandbox.Blackhawk).Header
		if resp, body := do(t, sb, r); resp.StatusCode != http.StatusOK {
			t.Errorf("the other Blackhawk path: got %s: %s", resp.Status, body)
		}
	})
}

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

func TestOptionsComeBack(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		for _, option := range []string{"send_blink_receipt", "enable_moto_payments", "address_postcode_required"} {
			keys := strings.Replace(blinkKeys, "{", `{"`+option+`":true,"application_name":"demo",`, 1)
			_, body := do(t, sb, request(t, sb.URL+"/api/pay/v1/tokens", "application/json", keys))
			want := strings.Replace(samples[sandbox.Blink], `"`+option+`":false`, `"`+option+`":true`, 1)
			if got := anonymous(body); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", option, got, want)
			}
		}
	})
}

func TestBlackhawkScopes(t *testing.T) {
	const invalid = `{"error":"invalid_scope","error_description":"One or more scopes are not configured for the authorization server resource."}`
	granted := func(scope string) string { return strings.Replace(samples[sandbox.Blackhawk], "*/default/*", scope, 1) }
	for _, test := range []struct {
		name       string
		configured []string
		scope      string
		want       string
	}{
		{"any, if none is configured", nil, `orders \"x`, granted(`orders \"x`)},
		{"one that is configured", []string{"orders", "cards"}, "cards", granted("cards")},
		{"two that are configured", []string{"orders", "cards"}, "cards orders", granted("cards orders")},
		{"the default by its name", []string{"orders"}, "*/default/*", granted("*/default/*")},
		{"the default by silence", []string{}, "", granted("*/default/*")},
		{"an unknown one", []string{"orders"}, "cards", invalid},
		{"an unknown one among others", []string{"orders"}, "orders cards", invalid},
		{"any, if an empty list is configured", []string{}, "orders", invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			sb := sandbox.NewInProcess(sandbox.Config{Scopes: test.configured})
			form := url.Values{"grant_type": {"client_credentials"}, "scope": {strings.ReplaceAll(test.scope, "\\", "")}}
			r := tokenRequest(t, sb, sandbox.Blackhawk)
			r.Body = io.NopCloser(strings.NewReader(form.Encode()))
			if _, body := do(t, sb, r); anonymous(body) != test.want {
				t.Errorf("got  %s\nwant %s", body, test.want)
			}
		})
	}
}

func TestBlinkHeaders(t *testing.T) {
	everywhere(t, sandbox.Config{ClockOffset: -time.Hour}, func(t *testing.T, sb *sandbox.Sandbox) {
		sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{}, sandbox.Fault{Status: 503})
		for range 2 {
			resp, _ := do(t, sb, tokenRequest(t, sb, sandbox.Blink))
			for name, want := range map[string]string{
				"Cache-Control":             "no-cache, private",
				"Connection":                "keep-alive",
				"Content-Type":              "application/json",
				"Server":                    "Apache/2.4.59 (Amazon Linux) OpenSSL/3.0.8",
				"Strict-Transport-Security": "max-age=63072000",
				"X-RateLimit-Limit":         "60",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: got %s %q, want %q", resp.Status, name, got, want)
				}
			}
			if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(date).Round(time.Minute) != time.Hour {
				t.Errorf("got Date %v, %v, want an hour ago", date, err)
			}
		}
	})
}

func TestBlinkRateLimit(t *testing.T) {
	for _, enforced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sb := sandbox.NewInProcess(sandbox.Config{EnforceRateLimit: enforced})
			expect := func(status int, remaining, retryAfter string) {
				t.Helper()
				resp, _ := do(t, sb, tokenRequest(t, sb, sandbox.Blink))
				if got := resp.Header; resp.StatusCode != status || got.Get("X-RateLimit-Remaining") != remaining || got.Get("Retry-After") != retryAfter {
					t.Errorf("enforced: %t: got %s with %v", enforced, resp.Status, got)
				}
			}
			time.Sleep(15*time.Second + time.Millisecond)
			for left := 59; left >= 0; left-- {
				expect(201, strconv.Itoa(left), "")
			}
			if enforced {
				expect(429, "0", "45")
			} else {
				expect(201, "0", "")
			}
			time.Sleep(45 * time.Second)
			expect(201, "59", "")
		})
	}
}

// The documents name these shapes; a program must read whichever is there.
func TestErrorShapes(t *testing.T) {
	okta := func(code, summary string) string {
		return `{"errorCode":"` + code + `","errorSummary":"` + summary + `","errorLink":"` + code +
			`","errorId":"oaeJCQnzjWAQ4-f45F5RNGskA","errorCauses":[]}`
	}
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		for _, test := range []struct {
			provider sandbox.Provider
			fault    sandbox.Fault
			want     string
		}{
			{sandbox.Blink, sandbox.Fault{Status: 400}, `{"success":false,"message":"Api key is required"}`},
			{sandbox.Blink, sandbox.Fault{Status: 401, Message: "Access Token expired"}, `{"success":false,"message":"Access Token expired"}`},
			{sandbox.BlinkLegacy, sandbox.Fault{Status: 500}, `{"error":"Internal Server Error"}`},
			{sandbox.Flinks, sandbox.Fault{Status: 500}, ``},
			{sandbox.Flinks, sandbox.Fault{Status: 401, Code: "TOO_MANY_REQUESTS", Message: `Wait "5" minutes`},
				`{"HttpStatusCode":401,"FlinksCode":"TOO_MANY_REQUESTS","Message":"Wait \"5\" minutes"}`},
			{sandbox.Blackhawk, sandbox.Fault{Status: 400},
				`{"error":"invalid_scope","error_description":"One or more scopes are not configured for the authorization server resource."}`},
			{sandbox.Blackhawk, sandbox.Fault{Status: 403}, okta("E0000006", "You do not have permission to perform the requested action")},
			{sandbox.Blackhawk, sandbox.Fault{Status: 502}, okta("E0000009", "Bad Gateway")},
			{sandbox.Blackhawk, sandbox.Fault{Status: 429, Code: "E0000047", Message: "API call exceeded rate limit"},
				okta("E0000047", "API call exceeded rate limit")},
			{sandbox.Blackhawk, sandbox.Fault{Status: 400, Code: "temporarily_unavailable"},
				`{"error":"temporarily_unavailable","error_description":"Bad Request"}`},
		} {
			sb.Script(test.provider, sandbox.Token, test.fault)
			resp, body := do(t, sb, tokenRequest(t, sb, test.provider))
			if resp.StatusCode != test.fault.Status || body != test.want {
				t.Errorf("%s %+v: got %s %s", test.provider, test.fault, resp.Status, body)
			}
		}
	})
}
