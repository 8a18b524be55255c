package sandbox_test

// The sandbox in the hands of a program that is not written in Go: all it has
// is HTTP.

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func order(t *testing.T, sb *sandbox.Sandbox, method, path, body string) (*http.Response, string) {
	t.Helper()
	r := request(t, sb.URL+"/_sandbox/"+path, "application/x-www-form-urlencoded", body) // as curl -d sends it
	r.Method = method
	return do(t, sb, r)
}

func TestControl(t *testing.T) {
	sb := sandbox.New(sandbox.Config{Control: true})
	defer sb.Close()
	tell := func(script string) {
		t.Helper()
		if resp, body := order(t, sb, "POST", "script", script); resp.StatusCode != http.StatusNoContent {
			t.Fatalf("got %s %s", resp.Status, body)
		}
	}
	expect := func(p sandbox.Provider, status int) *http.Response {
		t.Helper()
		resp, body := do(t, sb, tokenRequest(t, sb, p))
		if resp.StatusCode != status {
			t.Errorf("%s: got %s %s, want %d", p, resp.Status, body, status)
		}
		return resp
	}

	tell(`{"provider":"blink","faults":[{"status":429,"header":{"retry-after":"7","X-RateLimit-Limit":null}},{"status":503,"header":{"X-A":["1","2"]}}]}`)
	resp := expect(sandbox.Blink, 429)
	if got := resp.Header; got.Get("Retry-After") != "7" || got.Get("X-RateLimit-Limit") != "" {
		t.Errorf("got header %v", got)
	}
	if got := expect(sandbox.Blink, 503).Header.Values("X-A"); len(got) != 2 {
		t.Errorf("got X-A %q", got)
	}
	expect(sandbox.Blink, 201)

	tell(`{"provider":"flinks","always":{"status":401,"code":"RETRY_LATER"}}`)
	expect(sandbox.Flinks, 401)
	expect(sandbox.Flinks, 401)
	tell(`{"provider":"flinks","always":{}}`)
	token := newToken(t, sb, sandbox.Flinks)

	tell(`{"provider":"flinks","endpoint":"api","faults":[{"status":502}]}`)
	for _, want := range []int{502, 200} {
		if got := call(t, sb, sandbox.Flinks, token); got != want {
			t.Errorf("got %d from the API, want %d", got, want)
		}
	}

	token = newToken(t, sb, sandbox.Blackhawk)
	tell(`{"provider":"blackhawk","revoke":true,"token_lifetime":"5s","clock_offset":"-2h"}`)
	if got := call(t, sb, sandbox.Blackhawk, token); got != http.StatusUnauthorized {
		t.Errorf("got %d for a revoked token", got)
	}
	resp, body := do(t, sb, tokenRequest(t, sb, sandbox.Blackhawk))
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || time.Since(date).Round(time.Minute) != 2*time.Hour || !strings.Contains(body, `"expires_in":5,`) {
		t.Errorf("got Date %v, %v and %s, want two hours ago and 5 s", date, err, body)
	}

	const want = `{` +
		`"blackhawk":{"token_requests":2,"refreshes":0,"tokens_issued":2,"accepted":0,"rejected":1,"reused_single_use":0},` +
		`"blink":{"token_requests":3,"refreshes":0,"tokens_issued":1,"accepted":0,"rejected":0,"reused_single_use":0},` +
		`"blink-legacy":{"token_requests":0,"refreshes":0,"tokens_issued":0,"accepted":0,"rejected":0,"reused_single_use":0},` +
		`"flinks":{"token_requests":3,"refreshes":0,"tokens_issued":1,"accepted":1,"rejected":0,"reused_single_use":0}}` + "\n"
	if resp, body := order(t, sb, "GET", "ledger", ""); body != want || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if resp, body := order(t, sb, "POST", "reset", ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("reset: got %s %s", resp.Status, body)
	}
	if got := sb.Ledger()[sandbox.Blink]; got != (sandbox.Counts{}) {
		t.Errorf("got %+v after a reset", got)
	}
}

// A mistyped order must not pass for a provider that works.
func TestControlRefuses(t *testing.T) {
	sb := sandbox.New(sandbox.Config{Control: true})
	defer sb.Close()
	for _, test := range []struct{ name, script, want string }{
		{"no JSON", `status=503`, "invalid character"},
		{"nothing", ``, "EOF"},
		{"no effect", `{"provider":"blink"}`, "no effect"},
		{"no provider", `{"faults":[{"status":503}]}`, `provider \"\" is none of`},
		{"unknown provider", `{"provider":"blunk","revoke":true}`, `provider \"blunk\" is none of`},
		{"unknown endpoint", `{"provider":"blink","endpoint":"tokens","always":{}}`, `endpoint \"tokens\" is none of`},
		{"endpoint of another provider", `{"provider":"blink","endpoint":"refresh","always":{}}`, `\"blink-legacy\" only`},
		{"unknown field", `{"provider":"blink","fault":{"status":503}}`, `unknown field \"fault\"`},
		{"unknown field of a fault", `{"provider":"blink","faults":[{"statsu":503}]}`, `unknown field \"statsu\"`},
		{"second fault is wrong", `{"provider":"blink","faults":[{"status":503},{"status":42}]}`, "status 42"},
		{"delay without unit", `{"provider":"blink","faults":[{"delay":"2"}]}`, "missing unit"},
		{"answer without end", `{"provider":"blink","faults":[{"size":1000000000000}]}`, "size 1000000000000"},
		{"unknown format", `{"provider":"blink","faults":[{"expired_on":"ISO"}]}`, `expired_on \"ISO\"`},
		{"two documents", `{"provider":"blink","always":{"status":503}} {}`, "more after"},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, body := order(t, sb, "POST", "script", test.script)
			if resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(body, `{"error":"`) || !strings.Contains(body, test.want) {
				t.Errorf("got %s %s, want 400 with %s", resp.Status, body, test.want)
			}
			newToken(t, sb, sandbox.Blink)
		})
	}
	if resp, _ := order(t, sb, "GET", "script", ""); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: got %s, Allow %q", resp.Status, resp.Header.Get("Allow"))
	}
	if resp, _ := order(t, sb, "GET", "secrets", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path: got %s", resp.Status)
	}
}

// The control API is there only if Config asks for it.
func TestControlIsOffByDefault(t *testing.T) {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()
	for method, path := range map[string]string{"GET": "ledger", "POST": "reset"} {
		if resp, _ := order(t, sb, method, path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %s", path, resp.Status)
		}
	}
}

func TestFaultSurvivesJSON(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"none": {},
		"all": {
			Delay: 1500 * time.Millisecond, Status: 429, Code: "RETRY_LATER", Message: "later", Header: http.Header{"A": {"1"}, "Date": nil},
			Body: "<html>", Drip: time.Second, TruncateAt: 1, Size: 2, Break: true, Patch: map[string]any{"a": "b", "c": nil},
			ExpiredOn: sandbox.Epoch, DateOffset: -time.Hour,
		},
	} {
		b, err := json.Marshal(fault)
		if err != nil {
			t.Fatal(err)
		}
		var got sandbox.Fault
		if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, fault) {
			t.Errorf("%s: got %+v, %v from %s", name, got, err, b)
		}
		if name == "none" && string(b) != "{}" {
			t.Errorf("got %s for no fault", b)
		}
	}
}
