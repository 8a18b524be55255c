package serve_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/sandbox"
)

// clientOf is the OAuth 2.0 client that most Go programs have.
func clientOf(s *served, name string) *clientcredentials.Config {
	return &clientcredentials.Config{ClientID: "any", ClientSecret: secret, TokenURL: s.url + "/" + name + "/token"}
}

func TestTokenByAnOAuth2Client(t *testing.T) {
	s := start(t, sandbox.Config{})
	for name, provider := range map[string]sandbox.Provider{"blink": sandbox.Blink, "flinks": sandbox.Flinks, "blackhawk": sandbox.Blackhawk, "other": sandbox.Flinks} {
		for style, auth := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
			t.Run(name+", "+style, func(t *testing.T) {
				c := clientOf(s, name)
				c.AuthStyle = auth
				tok, err := c.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if name != "other" && !s.accepts(t, provider, tok.AccessToken) { // one of Flinks' twice would be refused
					t.Error("the API does not take the token")
				}
				if !tok.Valid() || tok.Type() != "Bearer" {
					t.Errorf("type %q, expiry %v", tok.Type(), tok.Expiry)
				}
			})
		}
	}
	ledger := s.Ledger()
	if n := ledger[sandbox.Blink].TokenRequests; n != 1 {
		t.Errorf("two clients of one source cost %d requests", n)
	}
	if n := ledger[sandbox.Flinks].ReusedSingleUse; n != 0 {
		t.Errorf("%d single-use tokens were handed out twice", n)
	}
}

func TestTokenAnswer(t *testing.T) {
	s := start(t, sandbox.Config{TokenLifetime: 5 * time.Minute})
	for name, sent := range map[string]url.Values{
		"plain":                   {"grant_type": {"client_credentials"}},
		"an empty parameter":      {"grant_type": {"client_credentials"}, "scope": {""}},
		"an unknown parameter":    {"grant_type": {"client_credentials"}, "audience": {"x"}},
		"the id in the body, too": {"grant_type": {"client_credentials"}, "client_id": {"any"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.post(t, "/blink/token", sent)
			if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v %s", r.status, r.header, r.text)
			}
			if in := r.body["expires_in"].(float64); in < 280 || in > 290 {
				t.Errorf("expires_in %v of 300 s less 10 s", in)
			}
			if !s.accepts(t, sandbox.Blink, r.body["access_token"]) || r.body["token_type"] != "Bearer" {
				t.Error(r.text)
			}
		})
	}
	t.Run("the configured scope", func(t *testing.T) {
		if r := s.post(t, "/blackhawk/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"b a"}}); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.text)
		}
	})
}

func TestTokenRefused(t *testing.T) {
	s := start(t, sandbox.Config{})
	good := "grant_type=client_credentials"
	for name, tt := range map[string]struct {
		method, path, body, kind string // by default POST /blink/token with a good body
		basic                    string // default: the right secret
		status                   int
		code                     string
	}{
		"no grant_type":                   {body: "a=b", status: 400, code: "invalid_request"},
		"an empty grant_type":             {body: "grant_type=", status: 400, code: "invalid_request"},
		"another grant":                   {body: "grant_type=password", status: 400, code: "unsupported_grant_type"},
		"a parameter twice":               {body: good + "&grant_type=client_credentials", status: 400, code: "invalid_request"},
		"an unknown parameter twice":      {body: good + "&a=1&a=2", status: 400, code: "invalid_request"},
		"a scope that is not configured":  {body: good + "&scope=admin", status: 400, code: "invalid_scope"},
		"the secret twice":                {body: good + "&client_secret=" + url.QueryEscape(secret), status: 400, code: "invalid_request"},
		"parameters in the URL":           {path: "/blink/token?" + good, status: 400, code: "invalid_request"},
		"the secret in the URL":           {path: "/blink/token?client_secret=x", basic: "none", status: 400, code: "invalid_request"},
		"JSON":                            {body: `{"grant_type":"client_credentials"}`, kind: "application/json", status: 400, code: "invalid_request"},
		"not UTF-8":                       {body: good + "&a=%ff", status: 400, code: "invalid_request"},
		"half an escape":                  {body: good + "&a=%f", status: 400, code: "invalid_request"},
		"a body of 17 KiB":                {body: good + "&a=" + strings.Repeat("a", 17<<10), status: 413, code: "invalid_request"},
		"two Authorization headers":       {basic: "twice", status: 400, code: "invalid_request"},
		"no secret":                       {basic: "none", status: 401, code: "invalid_client"},
		"a wrong secret":                  {basic: "wrong", status: 401, code: "invalid_client"},
		"a wrong secret in the body":      {basic: "none", body: good + "&client_secret=wrong", status: 401, code: "invalid_client"},
		"an empty secret":                 {basic: "empty", status: 401, code: "invalid_client"},
		"a scheme other than Basic":       {basic: "bearer", status: 401, code: "invalid_client"},
		"GET":                             {method: "GET", status: 405, code: "invalid_request"},
		"HEAD":                            {method: "HEAD", status: 405},
		"PUT of the invalidation":         {method: "PUT", path: "/blink/invalidate", status: 405, code: "invalid_request"},
		"an invalidation of nothing":      {path: "/blink/invalidate", status: 400, code: "invalid_request"},
		"an invalidation without secret":  {path: "/blink/invalidate", body: "token=x", basic: "none", status: 401, code: "invalid_client"},
		"a source that there is not":      {path: "/nosuch/token", status: 404},
		"a path below the token endpoint": {path: "/blink/token/", status: 404},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, body, kind := tt.method, tt.path, tt.body, tt.kind
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = "/blink/token"
			}
			if body == "" && method == http.MethodPost && !strings.Contains(path, "?") {
				body = good
			}
			if kind == "" {
				kind = "application/x-www-form-urlencoded"
			}
			req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", kind)
			switch tt.basic {
			case "":
				req.SetBasicAuth("any", url.QueryEscape(secret))
			case "twice":
				req.Header["Authorization"] = []string{"Basic eDp5", "Basic eDp5"}
			case "bearer":
				req.Header.Set("Authorization", "Bearer "+secret)
			case "empty":
				req.SetBasicAuth("any", "")
			case "wrong":
				req.SetBasicAuth("any", "wrong")
			}
			r := do(t, http.DefaultClient, req)
			if r.status != tt.status || tt.code != "" && (r.body["error"] != tt.code || r.body["error_description"] == "") {
				t.Errorf("%d %s", r.status, r.text)
			}
			if tt.code != "" && r.header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be stored")
			}
			if tt.status == 401 && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
				t.Error("no WWW-Authenticate")
			}
			if tt.status == 405 && r.header.Get("Allow") != "POST" {
				t.Errorf("Allow: %q", r.header.Get("Allow"))
			}
		})
	}
	if n := s.Ledger()[sandbox.Blink].TokenRequests; n != 0 {
		t.Errorf("refused requests cost %d at the provider", n)
	}
}

func TestProviderFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		source     string
		fault      sandbox.Fault
		status     int
		code       string
		describes  string
		retryAfter bool
	}{
		"an outage":                       {"blink", sandbox.Fault{Status: 503}, 503, "temporarily_unavailable", "blink", true},
		"an outage with a Retry-After":    {"blink", sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}}, 503, "temporarily_unavailable", "blink", true},
		"a connection that breaks":        {"blink", sandbox.Fault{Break: true}, 503, "temporarily_unavailable", "blink", true},
		"a rate limit":                    {"blink", sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}}, 429, "temporarily_unavailable", "blink", true},
		"Flinks' own code":                {"flinks", sandbox.Fault{Status: 400, Code: "RETRY_LATER", Message: "Come back."}, 503, "RETRY_LATER", "Come back", true},
		"a refusal with the code":         {"blackhawk", sandbox.Fault{Status: 400, Code: "invalid_scope", Message: "No such scope."}, 400, "invalid_scope", "No such scope", false},
		"credentials that are rejected":   {"blackhawk", sandbox.Fault{Status: 401, Code: "invalid_client", Message: "Unknown."}, 500, "invalid_client", "credentials missing or rejected", false},
		"a refusal without words":         {"flinks", sandbox.Fault{Status: 400}, 400, "server_error", "refused", false},
		"a description that breaks JSON":  {"blackhawk", sandbox.Fault{Status: 400, Code: "E0", Message: "a \"b\"\tc\nd é"}, 400, "E0", "a 'b'", false},
		"an HTML page in place of tokens": {"blink", sandbox.Fault{Status: 502, Body: "<html>"}, 503, "temporarily_unavailable", "blink", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, sandbox.Config{})
			for _, p := range sandbox.Providers() {
				s.Always(p, sandbox.Token, tt.fault)
			}
			for _, which := range []string{"the call that fails", "a call in the hold"} {
				r := s.token(t, tt.source)
				if r.status != tt.status || r.body["error"] != tt.code || !strings.Contains(r.text, tt.describes) {
					t.Fatalf("%s: %d %s", which, r.status, r.text)
				}
				after, err := strconv.Atoi(r.header.Get("Retry-After"))
				if tt.retryAfter != (err == nil && after >= 1) {
					t.Errorf("%s: Retry-After %q", which, r.header.Get("Retry-After"))
				}
				if tt.fault.Header != nil && (after < 50 || after > 60) {
					t.Errorf("%s: Retry-After %d, the provider said 60", which, after)
				}
			}
		})
	}
}

// A token that is being refreshed in vain is still handed out.
func TestOutageWithAValidToken(t *testing.T) {
	s := start(t, sandbox.Config{}, func(c *config.Source) { c.EarlyRefresh = time.Hour })
	first := s.token(t, "blink")
	s.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
	for range 20 {
		if r := s.token(t, "blink"); r.status != http.StatusOK || r.body["access_token"] != first.body["access_token"] {
			t.Fatalf("%d %s", r.status, r.text)
		}
	}
}

func TestInvalidate(t *testing.T) {
	s := start(t, sandbox.Config{})
	first := s.token(t, "blink").body["access_token"].(string)
	for _, other := range []string{"another", first + "x", first[:len(first)-1]} {
		if r := s.post(t, "/blink/invalidate", url.Values{"token": {other}, "token_type_hint": {"refresh_token"}}); r.status != http.StatusOK || r.text != "" {
			t.Errorf("%d %s", r.status, r.text)
		}
	}
	if s.token(t, "blink").body["access_token"] != first {
		t.Error("another token's invalidation replaced this one")
	}
	if r := s.post(t, "/blackhawk/invalidate", url.Values{"token": {first}}); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := s.post(t, "/blink/invalidate", url.Values{"token": {first}}); r.status != http.StatusOK || r.text != "" {
		t.Errorf("%d %s", r.status, r.text)
	}
	if second := s.token(t, "blink").body["access_token"]; second == first || !s.accepts(t, sandbox.Blink, second) {
		t.Error("the next token is not a new one")
	}
	if n := s.Ledger()[sandbox.Blink].TokenRequests; n != 2 {
		t.Errorf("%d token requests", n)
	}
}

// Each session has a token of its own, and those that are kept ready say how
// long they still live.
func TestSingleUse(t *testing.T) {
	s := start(t, sandbox.Config{TokenLifetime: time.Minute}, func(c *config.Source) {
		if c.Name == "flinks" {
			c.Ready = 2
		}
	})
	seen := map[any]bool{}
	for range 10 {
		r := s.token(t, "flinks")
		if in := r.body["expires_in"].(float64); in < 40 || in > 50 || seen[r.body["access_token"]] {
			t.Errorf("expires_in %v, or a token that was handed out before", in)
		}
		if seen[r.body["access_token"]] = true; !s.accepts(t, sandbox.Flinks, r.body["access_token"]) {
			t.Error("the API does not take the token")
		}
	}
}

func TestMetadata(t *testing.T) {
	s := start(t, sandbox.Config{})
	r := s.get(t, "/.well-known/oauth-authorization-server/blink")
	if r.status != http.StatusOK || r.body["issuer"] != s.url+"/blink" || r.body["token_endpoint"] != s.url+"/blink/token" ||
		r.body["revocation_endpoint"] != s.url+"/blink/invalidate" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	for _, list := range []string{"grant_types_supported", "response_types_supported", "token_endpoint_auth_methods_supported"} {
		if _, ok := r.body[list].([]any); !ok {
			t.Errorf("no %s", list)
		}
	}
	if r := s.get(t, "/.well-known/oauth-authorization-server/nosuch"); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := s.post(t, "/.well-known/oauth-authorization-server/blink", nil); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// A peer that guesses gets 429, and does not keep out those who know the secret.
func TestGuessing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		handler := inProcess(t, path, sandbox.NewInProcess(sandbox.Config{}))
		statuses := map[int]int{}
		for range 200 {
			w := askInProcess(handler, "a guess")
			if statuses[w.Code]++; w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		}
		if statuses[401] != 10 || statuses[429] != 190 {
			t.Errorf("%v", statuses)
		}
		if w := askInProcess(handler, secret); w.Code != http.StatusOK {
			t.Errorf("the right secret: %d %s", w.Code, w.Body)
		}
	})
}
