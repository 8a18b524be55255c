package sandbox_test

// Requests as each provider's documents write them, for the other tests, and
// what a client meets when nothing goes wrong.

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	body = regexp.MustCompile(`sandbox-token-\w{20,}`).ReplaceAllString(body, "TOKEN")
	return regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(body, "TIME")
}

// Row 35: a public fake of the provider for users' tests
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
			if got := call(t, sb, p, accessToken(t, resp, body)); got != http.StatusOK {
				t.Errorf("%s: the API answered %d to a new token", p, got)
			}
			if got := call(t, sb, p, "sandbox-token-of-nobody"); got != http.StatusUnauthorized {
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
		r := tokenRequest(t, sb, sandbox.Blackhawk)
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {`orders "\x`}}.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
		var answer struct{ Scope string }
		if _, body := do(t, sb, r); json.Unmarshal([]byte(body), &answer) != nil || answer.Scope != `orders "\x` {
			t.Errorf("scope: got %s", body)
		}
	})
}

func TestBlinkTellsTimeAndRateLimit(t *testing.T) {
	for _, offset := range []time.Duration{0, -time.Hour, 7 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			sb := sandbox.NewInProcess(sandbox.Config{ClockOffset: offset})
			for _, p := range []sandbox.Provider{sandbox.Blink, sandbox.BlinkLegacy} {
				resp, body := do(t, sb, tokenRequest(t, sb, p))
				date, err := http.ParseTime(resp.Header.Get("Date"))
				if want := time.Now().Add(offset); err != nil || !date.Equal(want) {
					t.Errorf("%s: got Date %v, %v, want %v", p, date, err, want)
				}
				var answer struct {
					ExpiredOn time.Time `json:"expired_on"`
				}
				if err := json.Unmarshal([]byte(body), &answer); err != nil {
					t.Fatal(err)
				}
				if life := answer.ExpiredOn.Sub(date); life != 30*time.Minute {
					t.Errorf("%s: expired_on less Date is %v", p, life)
				}
			}
			for _, want := range []string{"58", "57", "59"} { // one went to Blink above
				if want == "59" {
					time.Sleep(time.Minute)
				}
				resp, _ := do(t, sb, tokenRequest(t, sb, sandbox.Blink))
				if got := resp.Header.Get("X-RateLimit-Remaining"); got != want || resp.Header.Get("X-RateLimit-Limit") != "60" {
					t.Errorf("got %s remaining, want %s of 60", got, want)
				}
			}
		})
	}
}

func TestHandlerBehindAnotherServer(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	server := httptest.NewServer(sb.Handler)
	defer server.Close()
	sb.URL = server.URL
	for _, p := range sandbox.Providers() {
		resp, err := server.Client().Do(tokenRequest(t, sb, p))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Errorf("%s: got %s", p, resp.Status)
		}
	}
}
