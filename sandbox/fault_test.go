package sandbox_test

// Every fault, as a client meets it over TLS and in process.

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestFaults(t *testing.T) {
	type seen struct {
		status int
		header http.Header
		body   string
		err    error // of reading the body
	}
	var (
		unauthorised = `{"success":false,"message":"Unauthorised request"}`
		document     = samples[sandbox.Blink]
	)
	for _, test := range []struct {
		name   string
		fault  sandbox.Fault
		want   seen
		issued int
	}{
		{"none", sandbox.Fault{}, seen{status: 201, body: document}, 1},
		{"another success", sandbox.Fault{Status: 200}, seen{status: 200, body: document}, 1},
		{"refusal", sandbox.Fault{Status: 401}, seen{status: 401, body: unauthorised}, 0},
		{"forbidden", sandbox.Fault{Status: 403}, seen{status: 403, body: `{"success":false,"message":"Forbidden request"}`}, 0},
		{"outage", sandbox.Fault{Status: 503}, seen{status: 503, body: `{"success":false,"message":"Service Unavailable"}`}, 0},
		{"rate limit", sandbox.Fault{Status: 429, Header: http.Header{"retry-after": {"7"}}},
			seen{status: 429, header: http.Header{"Retry-After": {"7"}}, body: `{"success":false,"message":"Too Many Requests"}`}, 0},
		{"redirect", sandbox.Fault{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: "-"},
			seen{status: 307, header: http.Header{"Location": {"https://elsewhere.example/"}}, body: "-"}, 0},
		{"page of a proxy", sandbox.Fault{Status: 200, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}},
			seen{status: 200, header: http.Header{"Content-Type": {"text/html"}}, body: "<html>"}, 0},
		{"no content", sandbox.Fault{Status: 204}, seen{status: 204}, 1},
		{"no date", sandbox.Fault{Header: http.Header{"Date": nil}}, seen{status: 201, header: http.Header{"Date": nil}, body: document}, 1},
		{"cut off", sandbox.Fault{TruncateAt: 16}, seen{status: 201, body: document[:16], err: io.ErrUnexpectedEOF}, 1},
		{"cut off behind the end", sandbox.Fault{TruncateAt: 5000}, seen{status: 201, body: document}, 1},
		{"cut off while dripping", sandbox.Fault{TruncateAt: 5, Drip: 1, Body: "0123456789"},
			seen{status: 201, body: "01234", err: io.ErrUnexpectedEOF}, 0},
		{"padding", sandbox.Fault{Size: 100_000, Body: "{}"}, seen{status: 201, body: "{}" + strings.Repeat(" ", 100_000-2)}, 0},
		{"padding cut off", sandbox.Fault{Size: 100_000, Body: "{}", TruncateAt: 50_000},
			seen{status: 201, body: "{}" + strings.Repeat(" ", 50_000-2), err: io.ErrUnexpectedEOF}, 0},
		{"drip", sandbox.Fault{Drip: 1}, seen{status: 201, body: document}, 1},
		{"delay", sandbox.Fault{Delay: 1}, seen{status: 201, body: document}, 1},
		{"no expiry", sandbox.Fault{Patch: map[string]any{"expired_on": nil, "payment_types": nil, "currencies": nil}},
			seen{status: 201, body: `{"access_token":"TOKEN","address_postcode_required":false,"enable_moto_payments":false,` +
				`"payment_api_status":true,"send_blink_receipt":false}`}, 1},
		{"no token", sandbox.Fault{Status: 200, Patch: map[string]any{
			"access_token": nil, "expired_on": nil, "payment_types": nil, "currencies": 1, "payment_api_status": "Yes"}},
			seen{status: 200, body: `{"address_postcode_required":false,"currencies":1,"enable_moto_payments":false,` +
				`"payment_api_status":"Yes","send_blink_receipt":false}`}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
				client := sb.Client()
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				sb.Script(sandbox.Blink, sandbox.Token, test.fault)
				resp, err := client.Do(tokenRequest(t, sb, sandbox.Blink))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != test.want.status {
					t.Errorf("got %s, want %d", resp.Status, test.want.status)
				}
				for name, want := range test.want.header {
					if got := resp.Header.Values(name); strings.Join(got, "|") != strings.Join(want, "|") {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
				if !errors.Is(err, test.want.err) {
					t.Errorf("reading the body: got %v, want %v", err, test.want.err)
				}
				if got := anonymous(string(body)); got != test.want.body {
					t.Errorf("got  %.400s\nwant %.400s", got, test.want.body)
				}
				if got := sb.Ledger()[sandbox.Blink]; got.TokensIssued != test.issued || got.TokenRequests != 1 {
					t.Errorf("got %+v, want %d tokens issued", got, test.issued)
				}
			})
		})
	}
}

func TestBreak(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		sb.Script(sandbox.Flinks, sandbox.Token, sandbox.Fault{Break: true})
		resp, err := sb.Client().Do(tokenRequest(t, sb, sandbox.Flinks))
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
		token := newToken(t, sb, sandbox.Flinks)
		sb.Script(sandbox.Flinks, sandbox.API, sandbox.Fault{Break: true})
		r := request(t, sb.APIURL(sandbox.Flinks), "application/json", "{}")
		r.Header.Set("Authorization", "Bearer "+token)
		if resp, err = sb.Client().Do(r); err == nil {
			resp.Body.Close()
			t.Errorf("got %s from the API", resp.Status)
		}
		if got := call(t, sb, sandbox.Flinks, token); got != http.StatusOK {
			t.Errorf("got %d: a broken connection has used up the token", got)
		}
		if got := sb.Ledger()[sandbox.Flinks]; got != (sandbox.Counts{TokenRequests: 2, TokensIssued: 1, Accepted: 1}) {
			t.Errorf("got %+v", got)
		}
	})
}

// An absolute expiry is read with the Date beside it: each may be written or
// wrong in its own way.
func TestExpiredOnAndDate(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault sandbox.Fault
		want  string
		date  time.Duration // less the local clock
	}{
		{"as documented", sandbox.Fault{}, `"2000-01-01T00:30:00Z"`, 0},
		{"a numeric zone without colon", sandbox.Fault{ExpiredOn: sandbox.NumericZone}, `"2000-01-01T00:30:00+0000"`, 0},
		{"no zone", sandbox.Fault{ExpiredOn: sandbox.NoZone}, `"2000-01-01T00:30:00"`, 0},
		{"seconds since the epoch", sandbox.Fault{ExpiredOn: sandbox.Epoch}, `946686600`, 0},
		{"a layout of one's own", sandbox.Fault{ExpiredOn: time.RFC1123}, `"Sat, 01 Jan 2000 00:30:00 UTC"`, 0},
		{"a Date that is behind", sandbox.Fault{DateOffset: -2 * time.Hour}, `"2000-01-01T00:30:00Z"`, -2 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sb := sandbox.NewInProcess(sandbox.Config{})
				sb.Always(sandbox.BlinkLegacy, sandbox.Token, test.fault)
				sb.Always(sandbox.BlinkLegacy, sandbox.Refresh, test.fault)
				sb.Always(sandbox.Blink, sandbox.Token, test.fault)
				for _, r := range []*http.Request{
					tokenRequest(t, sb, sandbox.Blink),
					tokenRequest(t, sb, sandbox.BlinkLegacy),
					refreshRequest(t, sb, newToken(t, sb, sandbox.BlinkLegacy)),
				} {
					resp, body := do(t, sb, r)
					var answer struct {
						ExpiredOn json.RawMessage `json:"expired_on"`
					}
					if err := json.Unmarshal([]byte(body), &answer); err != nil || string(answer.ExpiredOn) != test.want {
						t.Errorf("%s: got %s, %v, want %s", r.URL.Path, answer.ExpiredOn, err, test.want)
					}
					date, err := http.ParseTime(resp.Header.Get("Date"))
					if err != nil || time.Until(date) != test.date {
						t.Errorf("%s: got Date %v, %v", r.URL.Path, date, err)
					}
				}
			})
		})
	}
}

func TestScriptThenAlways(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
		sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 429}, sandbox.Fault{})
		sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 401})
		for i, want := range []int{429, 201, 401, 503, 503} {
			if resp, _ := do(t, sb, tokenRequest(t, sb, sandbox.Blink)); resp.StatusCode != want {
				t.Errorf("call %d: got %s, want %d", i, resp.Status, want)
			}
		}
		newToken(t, sb, sandbox.BlinkLegacy) // has a script of its own
		sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
		newToken(t, sb, sandbox.Blink)
	})
}

func TestFaultsOfTheAPI(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		token := newToken(t, sb, sandbox.Blackhawk)
		sb.Script(sandbox.Blackhawk, sandbox.API,
			sandbox.Fault{Status: 401}, sandbox.Fault{Status: 503}, sandbox.Fault{Status: 202}, sandbox.Fault{Status: 202})
		for _, want := range []int{401, 503, 202} {
			if got := call(t, sb, sandbox.Blackhawk, token); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
		if got := call(t, sb, sandbox.Blackhawk, "unknown"); got != http.StatusUnauthorized {
			t.Errorf("got %d for an unknown token: a success is for good ones", got)
		}
		want := sandbox.Counts{TokenRequests: 1, TokensIssued: 1, Accepted: 1, Rejected: 2}
		if got := sb.Ledger()[sandbox.Blackhawk]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestPatchedTokenIsGood(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		sb.Script(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Patch: map[string]any{
			"access_token": "one.of.mine", "expires_in": json.RawMessage(`3600.0`),
		}})
		_, body := do(t, sb, tokenRequest(t, sb, sandbox.Blackhawk))
		want := `{"access_token":"one.of.mine","expires_in":3600.0,"scope":"*/default/*","token_type":"Bearer"}`
		if body != want {
			t.Errorf("got %s\nwant %s", body, want)
		}
		if got := call(t, sb, sandbox.Blackhawk, "one.of.mine"); got != http.StatusOK {
			t.Errorf("got %d for the patched token", got)
		}
	})
}

func TestDelayAndDripTakeVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sb := sandbox.NewInProcess(sandbox.Config{TokenLifetime: 2 * time.Hour})
		sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: time.Hour, Drip: time.Second})
		start := time.Now()
		resp, err := sb.Client().Do(tokenRequest(t, sb, sandbox.Blink))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := time.Since(start); got != time.Hour {
			t.Errorf("the answer began after %v", got)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), time.Hour+time.Duration(len(body)-1)*time.Second; got != want {
			t.Errorf("the answer ended after %v, want %v", got, want)
		}
		// It was issued before the delay.
		token := accessToken(t, resp, string(body))
		if got := call(t, sb, sandbox.Blink, token); got != http.StatusOK {
			t.Errorf("got %d", got)
		}
		time.Sleep(time.Hour)
		if got := call(t, sb, sandbox.Blink, token); got != http.StatusUnauthorized {
			t.Errorf("got %d: the lifetime began with the answer's arrival", got)
		}
	})
}

func TestEachScriptedFaultOnce(t *testing.T) {
	everywhere(t, sandbox.Config{}, func(t *testing.T, sb *sandbox.Sandbox) {
		const callers, faults = 32, 10
		for range faults {
			sb.Script(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}})
		}
		tokens := make(chan string, callers)
		var wg sync.WaitGroup
		for range callers {
			r := tokenRequest(t, sb, sandbox.Blackhawk)
			wg.Go(func() {
				resp, err := sb.Client().Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				var answer struct {
					AccessToken string `json:"access_token"`
				}
				json.NewDecoder(resp.Body).Decode(&answer)
				tokens <- answer.AccessToken
			})
		}
		wg.Wait()
		close(tokens)
		distinct := map[string]bool{}
		for token := range tokens {
			distinct[token] = true
		}
		delete(distinct, "") // what a 503 has
		want := sandbox.Counts{TokenRequests: callers, TokensIssued: callers - faults}
		if got := sb.Ledger()[sandbox.Blackhawk]; got != want || len(distinct) != want.TokensIssued {
			t.Errorf("got %+v and %d distinct tokens, want %+v", got, len(distinct), want)
		}
	})
}
