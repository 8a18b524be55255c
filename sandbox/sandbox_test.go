package sandbox_test

// Requests as each provider's documents write them, for the other tests, and
// the sandbox as a whole: its ledger, revocation, reset.

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// everywhere runs a test against a sandbox on the network and one in process.
func everywhere(t *testing.T, config sandbox.Config, test func(*testing.T, *sandbox.Sandbox)) {
	for name, start := range map[string]func(sandbox.Config) *sandbox.Sandbox{
		"network":    sandbox.New,
		"in process": sandbox.NewInProcess,
	} {
		t.Run(name, func(t *testing.T) {
			sb := start(config)
			defer sb.Close()
			test(t, sb)
		})
	}
}

const blinkKeys = `{"api_key":"` + sandbox.ID + `","secret_key":"` + sandbox.Secret + `"}`

// tokenRequest is the documented request for a token.
func tokenRequest(t *testing.T, sb *sandbox.Sandbox, p sandbox.Provider) *http.Request {
	t.Helper()
	const grant = "grant_type=client_credentials"
	switch p {
	case sandbox.Blink:
		return request(t, sb.URL+"/api/pay/v1/tokens", "application/json", blinkKeys)
	case sandbox.BlinkLegacy:
		return request(t, sb.URL+"/api/v1/pay/token", "application/json", blinkKeys)
	case sandbox.Flinks:
		r := request(t, sb.URL+"/api/v1/authorize", "application/x-www-form-urlencoded", grant)
		r.SetBasicAuth(sandbox.ID, sandbox.Secret)
		return r
	}
	r := request(t, sb.URL+"/api/auth", "application/x-www-form-urlencoded", grant)
	r.SetBasicAuth(sandbox.ID, sandbox.Secret)
	r.Header.Set("Accept", "application/json")
	r.Header["response_type"] = []string{"token id_token"}
	return r
}

func refreshRequest(t *testing.T, sb *sandbox.Sandbox, token string) *http.Request {
	t.Helper()
	return request(t, sb.URL+"/api/v1/pay/token/refresh", "application/json", `{"access_token":"`+token+`"}`)
}

func request(t *testing.T, url, contentType, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return r
}

// do sends a request and reads the whole answer.
func do(t *testing.T, sb *sandbox.Sandbox, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := sb.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// newToken asks for a token as documented.
func newToken(t *testing.T, sb *sandbox.Sandbox, p sandbox.Provider) string {
	t.Helper()
	resp, body := do(t, sb, tokenRequest(t, sb, p))
	return accessToken(t, resp, body)
}

func accessToken(t *testing.T, resp *http.Response, body string) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("got no token but %s: %s", resp.Status, body)
	}
	return answer.AccessToken
}

// call uses a token at the provider's API and returns the status.
func call(t *testing.T, sb *sandbox.Sandbox, p sandbox.Provider, token string) int {
	t.Helper()
	r := request(t, sb.APIURL(p), "application/json", "{}")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, _ := do(t, sb, r)
	return resp.StatusCode
}

// The documents' sample answers, on one line each. Token, expiry and the echoed
// options are placeholders for what differs from call to call.
var samples = map[sandbox.Provider]string{
	sandbox.Blink: `{"access_token":"TOKEN","expired_on":"TIME","payment_types":["credit-card","direct-debit","open-banking"],` +
		`"currencies":["GBP"],"payment_api_status":true,"send_blink_receipt":false,"enable_moto_payments":false,"address_postcode_required":false}`,
	sandbox.BlinkLegacy: `{"access_token":"TOKEN","expired_on":"TIME","payment_types":["credit-card","open-banking","direct-debit"],` +
		`"currency":"GBP","send_blink_receipt":"Yes"}`,
	sandbox.Flinks:    `{"access_token":"TOKEN","token_type":"bearer","expires_in":299}`,
	sandbox.Blackhawk: `{"token_type":"Bearer","expires_in":600,"access_token":"TOKEN","scope":"*/default/*"}`,
}

const refreshSample = `{"access_token":"TOKEN","expired_on":"TIME","currency":"GBP","send_blink_receipt":"Yes"}`

// anonymous puts the placeholders of samples into an answer.
func anonymous(body string) string {
	body = regexp.MustCompile(`[\w.-]*`+sandbox.TokenMark+`[\w-]{20,}|`+sandbox.FlinksTokenMark+`[0-9a-f-]{27}`).ReplaceAllString(body, "TOKEN")
	return regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(body, "TIME")
}

// A provider with the sandbox's URL and Client is all that a program needs.
func TestNewClientReachesIt(t *testing.T) {
	for name, config := range map[string]sandbox.Config{"any client": {}, "mutual TLS": {RequireClientCert: true}} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, config, func(t *testing.T, sb *sandbox.Sandbox) {
				creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
				for p, source := range map[sandbox.Provider]tokensource.Provider{
					sandbox.Blink:       &tokensource.Blink{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()},
					sandbox.BlinkLegacy: &tokensource.Blink{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client(), Legacy: true},
					sandbox.Flinks:      &tokensource.Flinks{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()},
					sandbox.Blackhawk:   &tokensource.Blackhawk{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()},
				} {
					resp, err := tokensource.NewClient(source).Post(sb.APIURL(p), "application/json", strings.NewReader("{}"))
					if err != nil {
						t.Errorf("%s: %v", p, err)
						continue
					}
					resp.Body.Close()
					want := sandbox.Counts{TokenRequests: 1, TokensIssued: 1, Accepted: 1}
					if got := sb.Ledger()[p]; resp.StatusCode != http.StatusOK || got != want {
						t.Errorf("%s: got %s, %+v", p, resp.Status, got)
					}
				}
			})
		})
	}
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
			t.Errorf("got %+v for a provider that was not called", got)
		}
		delete(ledger, sandbox.BlinkLegacy)
		if sb.Ledger()[sandbox.BlinkLegacy] != want {
			t.Error("Ledger does not return a copy")
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

func TestReset(t *testing.T) {
	everywhere(t, sandbox.Config{TokenLifetime: time.Hour}, func(t *testing.T, sb *sandbox.Sandbox) {
		token := newToken(t, sb, sandbox.Blink)
		sb.SetTokenLifetime(time.Second)
		sb.SetClockOffset(time.Hour)
		sb.Script(sandbox.Flinks, sandbox.Token, sandbox.Fault{Status: 503})
		sb.Always(sandbox.Flinks, sandbox.Token, sandbox.Fault{Status: 503})
		sb.Reset()
		if got := call(t, sb, sandbox.Blink, token); got != http.StatusUnauthorized {
			t.Errorf("got %d for a token from before", got)
		}
		newToken(t, sb, sandbox.Flinks)
		resp, body := do(t, sb, tokenRequest(t, sb, sandbox.Blackhawk))
		if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Until(date) > time.Minute {
			t.Errorf("got Date %v, %v: the clock is still off", date, err)
		}
		if !strings.Contains(body, `"expires_in":3600`) {
			t.Errorf("got %s, want the lifetime of Config", body)
		}
		want := map[sandbox.Provider]sandbox.Counts{
			sandbox.Blink:       {Rejected: 1},
			sandbox.BlinkLegacy: {},
			sandbox.Flinks:      {TokenRequests: 1, TokensIssued: 1},
			sandbox.Blackhawk:   {TokenRequests: 1, TokensIssued: 1},
		}
		if got := sb.Ledger(); !maps.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
