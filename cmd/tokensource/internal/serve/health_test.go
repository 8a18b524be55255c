package serve_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/sandbox"
)

func TestHealth(t *testing.T) {
	s := start(t, sandbox.Config{})
	if r := s.get(t, "/healthz"); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := s.get(t, "/readyz"); r.status != http.StatusOK || !strings.Contains(r.text, "blink: ok, no token yet") {
		t.Errorf("a source that was never asked: %d %s", r.status, r.text)
	}
	s.token(t, "blink")
	if r := s.get(t, "/readyz"); r.status != http.StatusOK || !strings.Contains(r.text, "blink: ok\n") {
		t.Errorf("a source with a token: %d %s", r.status, r.text)
	}
	requests := s.Ledger()[sandbox.Blackhawk].TokenRequests
	s.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"200"}}})
	s.token(t, "blackhawk")
	if r := s.get(t, "/readyz"); r.status != http.StatusServiceUnavailable || !strings.Contains(r.text, "blackhawk: no token, asked again in") {
		t.Errorf("a source in an outage: %d %s", r.status, r.text)
	}
	if r := s.get(t, "/healthz"); r.status != http.StatusOK {
		t.Errorf("the process is as well as before: %d %s", r.status, r.text)
	}
	if n := s.Ledger()[sandbox.Blackhawk].TokenRequests - requests; n != 1 {
		t.Errorf("%d requests: probes make none", n)
	}
}

func TestMetrics(t *testing.T) {
	s := start(t, sandbox.Config{})
	s.token(t, "blink")
	s.token(t, "other")
	r := s.get(t, "/metrics")
	for _, want := range []string{
		`tokensource_token_expiration_time_seconds{`, `provider="blink"`, `provider="other"`, `tokensource_refresh_duration_seconds_count{`,
	} {
		if !strings.Contains(r.text, want) {
			t.Errorf("no %s in\n%s", want, r.text)
		}
	}
}

// The dashboard and the alerts of docs/ are about what a server really exports, and
// Prometheus has nothing to say against its spelling.
func TestMetricsAreThoseOfTheDocs(t *testing.T) {
	s := start(t, sandbox.Config{}, func(src *config.Source) {
		if src.Name == "flinks" {
			src.Ready = 2
		}
	})
	s.token(t, "blink")
	s.token(t, "flinks")
	text := s.get(t, "/metrics").text
	for _, file := range []string{"grafana-dashboard.json", "prometheus-alerts.yaml"} {
		doc, err := os.ReadFile(filepath.Join("../../../../docs", file))
		if err != nil {
			t.Skip("docs/ is not here, this is no clone of the repository: ", err)
		}
		used := regexp.MustCompile(`\btokensource_\w+`).FindAllString(string(doc), -1)
		if len(used) < 10 {
			t.Errorf("%s has %d metric names only", file, len(used))
		}
		for _, name := range used {
			if !strings.Contains(text, "\n"+name+"{") {
				t.Errorf("%s has %s, which is not exported", file, name)
			}
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("REQUIRE_PROMTOOL") == "" {
		t.Skip("no promtool on the PATH: it is in Debian's package prometheus")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A browser sees the page after one login, with a cookie that tells nothing.
func TestStatusPage(t *testing.T) {
	s := start(t, sandbox.Config{})
	token := s.token(t, "blink").body["access_token"].(string)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	get := func(client *http.Client) reply {
		req, err := http.NewRequest(http.MethodGet, s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, client, req)
	}
	login := func(secret, origin string) reply {
		req, err := http.NewRequest(http.MethodPost, s.url+"/login", strings.NewReader(url.Values{"client_secret": {secret}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		return do(t, browser, req)
	}
	if r := get(browser); r.status != http.StatusUnauthorized || strings.Contains(r.text, "blink") {
		t.Errorf("before the login: %d", r.status)
	}
	if r := login("wrong", ""); r.status != http.StatusUnauthorized || strings.Contains(r.text, "blink") {
		t.Errorf("a wrong secret: %d", r.status)
	}
	if r := login(secret, "https://evil.example"); r.status != http.StatusForbidden {
		t.Errorf("another page's form: %d", r.status)
	}
	if r := login(secret, s.url); r.status != http.StatusOK || !strings.Contains(r.text, "blink") {
		t.Errorf("the login: %d %s", r.status, r.text)
	}
	page := get(browser)
	if page.status != http.StatusOK || !strings.Contains(page.text, "blackhawk") {
		t.Errorf("after the login: %d", page.status)
	}
	home, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	cookie := jar.Cookies(home)[0].Value
	for what, text := range map[string]string{"page": page.text, "cookie": cookie} {
		if strings.Contains(text, secret) || strings.Contains(text, token) || strings.Contains(text, sandbox.Secret) {
			t.Errorf("a secret in the %s", what)
		}
	}
	for name, forged := range map[string]string{"later": "9" + cookie, "unsigned": "99999999999.", "cut": cookie[:len(cookie)-2], "empty": ""} {
		req, err := http.NewRequest(http.MethodGet, s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(&http.Cookie{Name: "tokensource", Value: forged})
		if r := do(t, http.DefaultClient, req); r.status != http.StatusUnauthorized {
			t.Errorf("a forged cookie, %s: %d", name, r.status)
		}
	}
	req, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := do(t, s.overSocket(), req); r.status != http.StatusOK || !strings.Contains(r.text, "blink") {
		t.Errorf("over the unix socket: %d", r.status)
	}
}

// The cookie's attributes, and that another secret ends the session.
func TestSessionCookie(t *testing.T) {
	s := start(t, sandbox.Config{})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequest(http.MethodPost, s.url+"/login", strings.NewReader(url.Values{"client_secret": {secret}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r := do(t, client, req)
	cookie := r.header.Get("Set-Cookie")
	if r.status != http.StatusSeeOther || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, "Secure") {
		t.Errorf("%d %s", r.status, cookie)
	}
	if err := os.WriteFile(s.secret, []byte("another client secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		req, err := http.NewRequest(http.MethodGet, s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", strings.Split(cookie, ";")[0])
		return do(t, client, req).status == http.StatusUnauthorized
	})
}

// No secret is in what the server writes of its own accord.
func TestNoSecretShows(t *testing.T) {
	s := start(t, sandbox.Config{})
	var tokens []string
	for _, name := range []string{"blink", "flinks", "blackhawk", "other"} {
		tokens = append(tokens, s.token(t, name).body["access_token"].(string))
	}
	s.post(t, "/blink/invalidate", url.Values{"token": {tokens[0]}})
	s.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 401, Body: sandbox.Secret})
	failed := s.token(t, "blink")
	wrong := s.request(t, "/blink/token", grant)
	wrong.SetBasicAuth("any", "a wrong secret, nearly right")
	refused := do(t, http.DefaultClient, wrong)
	req, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"log": s.log.String(), "metrics": s.get(t, "/metrics").text, "readyz": s.get(t, "/readyz").text,
		"page": do(t, s.overSocket(), req).text, "a failure": failed.text, "a refusal": refused.text,
	}
	for place, text := range places {
		for _, hidden := range append(tokens, secret, sandbox.ID, sandbox.Secret, "a wrong secret", sandbox.TokenMark, sandbox.FlinksTokenMark) {
			if strings.Contains(text, hidden) {
				t.Errorf("%q in the %s:\n%s", hidden, place, text)
			}
		}
	}
	if !strings.Contains(places["log"], "fetched") || !strings.Contains(places["log"], "invalidated") || !strings.Contains(places["log"], "refused") {
		t.Errorf("the log lacks what happened:\n%s", places["log"])
	}
}
