package page

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// service is a few sources at a sandbox, as serve would have them.
type service struct {
	sandbox *sandbox.Sandbox
	sources []Source
	page    http.Handler
}

func newService(t *testing.T) *service {
	s := &service{sandbox: sandbox.NewInProcess(sandbox.Config{})}
	s.page = Handler(func() []Source { return s.sources })
	for _, p := range sandbox.Providers() {
		s.fail(p, sandbox.Fault{Delay: 212 * time.Millisecond})
	}
	credentials := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	s.add(t, "blink", &tokensource.Cache{Source: &tokensource.Blink{Credentials: credentials, HTTPClient: s.sandbox.Client()}})
	s.add(t, "flinks", &tokensource.Cache{Ready: 3, Source: &tokensource.Flinks{
		Credentials: credentials, HTTPClient: s.sandbox.Client(), BaseURL: "https://flinks.example"}})
	s.add(t, "blackhawk", &tokensource.Cache{Source: &tokensource.Blackhawk{
		Credentials: credentials, HTTPClient: s.sandbox.Client(), BaseURL: "https://blackhawk.example"}})
	return s
}

func (s *service) add(t *testing.T, name string, c *tokensource.Cache) {
	h := new(History)
	c.OnEvent = h.OnEvent
	s.sources = append(s.sources, Source{name, c, h})
	t.Cleanup(func() { c.Close() })
}

// ask has each source asked for a token once per interval.
func (s *service) ask(every, during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(every) {
		for _, src := range s.sources {
			status := http.StatusOK
			if _, err := src.Cache.Token(); err != nil {
				status = http.StatusServiceUnavailable
			}
			src.History.Answered(status)
		}
	}
	synctest.Wait()
}

func (s *service) fail(p sandbox.Provider, f sandbox.Fault) { s.sandbox.Always(p, sandbox.Token, f) }

// get is the page as a browser gets it.
func (s *service) get() *http.Response { return get(s.page) }

func get(page http.Handler) *http.Response {
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Result()
}

var empty = Handler(func() []Source { return nil })

// scenes are the pages that are looked at, by the name of their screenshots.
var scenes = map[string]func(t *testing.T) *http.Response{
	"health": func(t *testing.T) *http.Response {
		s := newService(t)
		s.ask(7*time.Second, 80*time.Minute+20*time.Second)
		return s.get()
	},
	"outage": func(t *testing.T) *http.Response { return outage(t).get() },
	"odd": func(t *testing.T) *http.Response {
		s := newService(t)
		s.sources = nil
		s.add(t, strings.Repeat("long-name", 30), &tokensource.Cache{Source: broken(strings.Repeat("long", 200))})
		s.add(t, hostile, &tokensource.Cache{Source: broken(hostile)})
		s.add(t, "no expiry", &tokensource.Cache{Source: tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "token-without-end"}, nil
		})})
		s.ask(time.Minute, 3*time.Minute)
		return s.get()
	},
	"start": func(t *testing.T) *http.Response { return newService(t).get() },
	"empty": func(*testing.T) *http.Response { return get(empty) },
	"login": func(*testing.T) *http.Response {
		w := httptest.NewRecorder()
		Login(w, http.StatusUnauthorized, "This is not the client secret. Try again.")
		return w.Result()
	},
}

const hostile = `</style><script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;{{.}}` + "\u202e\x00\xff"

func broken(why string) oauth2.TokenSource {
	return tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) { return nil, errors.New(why) })
}

// outage has blink without a token for half an hour, and blackhawk with a token
// that is no longer refreshed.
func outage(t *testing.T) *service {
	s := newService(t)
	s.ask(7*time.Second, 40*time.Minute)
	s.fail(sandbox.Blink, sandbox.Fault{Status: 503, Delay: 180 * time.Millisecond})
	s.ask(3*time.Second, 36*time.Minute)
	s.fail(sandbox.Blackhawk, sandbox.Fault{Status: 429, Message: "Rate limit exceeded for the program 4417", Header: http.Header{"Retry-After": {"45"}}})
	for s.sources[2].Cache.Status().Err == nil {
		s.ask(5*time.Second, 5*time.Second)
	}
	s.ask(2*time.Second, 80*time.Second)
	for s.sources[0].Cache.Status().HeldUntil.IsZero() {
		s.ask(time.Second, time.Second)
	}
	return s
}

// in renders a scene within a bubble, where its hours take no time.
func in(t *testing.T, scene func(t *testing.T) *http.Response) (resp *http.Response) {
	synctest.Test(t, func(t *testing.T) { resp = scene(t) })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// words are the page's text as it reads, without its markup.
func words(t *testing.T, page string) string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Each page is balanced HTML, says its language and size, refers only to what is
// there, and has nothing that would need a looser policy.
func TestMarkup(t *testing.T) {
	void := []string{"meta", "link", "input", "img", "br"}
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			page := text(t, in(t, scene))
			var open, refers []string
			ids := make(map[string]bool)
			tokens := html.NewTokenizer(strings.NewReader(page))
			for kind := tokens.Next(); kind != html.ErrorToken; kind = tokens.Next() {
				token := tokens.Token()
				for _, a := range token.Attr {
					switch {
					case a.Key == "style", strings.HasPrefix(a.Key, "on"):
						t.Errorf("<%s> has an attribute %s", token.Data, a.Key)
					case a.Key == "id" && ids[a.Val]:
						t.Errorf("two elements have the id %q", a.Val)
					case a.Key == "id":
						ids[a.Val] = true
					case a.Key == "for", strings.HasPrefix(a.Key, "aria-labelledby"), a.Key == "aria-describedby":
						refers = append(refers, a.Val)
					case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
						refers = append(refers, a.Val[1:])
					}
				}
				switch {
				case token.Data == "script":
					t.Error("there is a script")
				case kind == html.StartTagToken && !slices.Contains(void, token.Data):
					open = append(open, token.Data)
				case kind == html.EndTagToken && (len(open) == 0 || open[len(open)-1] != token.Data):
					t.Fatalf("</%s> closes none of %q", token.Data, open)
				case kind == html.EndTagToken:
					open = open[:len(open)-1]
				}
			}
			if err := tokens.Err(); err != io.EOF || len(open) > 0 {
				t.Errorf("it ends with %v, and %q are open", err, open)
			}
			for _, id := range refers {
				if !ids[id] {
					t.Errorf("nothing has the id %q", id)
				}
			}
			for _, want := range []string{"<!DOCTYPE html>\n<html lang=\"en\">", `<meta charset="utf-8">`, `width=device-width`, "<main", "<h1>"} {
				if !strings.Contains(page, want) {
					t.Errorf("%s is missing", want)
				}
			}
		})
	}
}

// Neither the credentials nor a token is on any page. The search would find
// them: they are in what the provider was sent and has sent.
func TestSecrets(t *testing.T) {
	secrets := []string{sandbox.ID, sandbox.Secret, sandbox.TokenMark, sandbox.FlinksTokenMark, "token-without-end"}
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			page := text(t, in(t, scene))
			for _, secret := range secrets {
				if strings.Contains(page, secret) {
					t.Errorf("%q is on the page", secret)
				}
			}
		})
	}
}

// What a provider answers, and a name in a configuration, is text and nothing
// else.
func TestHostileTexts(t *testing.T) {
	page := text(t, in(t, scenes["odd"]))
	for _, markup := range []string{"<script", "<img", "{{"} {
		if strings.Contains(strings.ReplaceAll(page, "{{.}}", ""), markup) {
			t.Errorf("%s got into the page", markup)
		}
	}
	if got := words(t, page); !strings.Contains(got, `Because </style><script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;{{.}}`) {
		t.Errorf("the text does not show as it is:\n%s", got)
	}
}

func TestHandler(t *testing.T) {
	for name, tt := range map[string]struct {
		method, url   string
		status        int
		reloads, body bool
	}{
		"GET":              {"GET", "/", 200, true, true},
		"HEAD":             {"HEAD", "/", 200, true, true}, // net/http drops its body
		"paused":           {"GET", "/?pause", 200, false, true},
		"POST":             {"POST", "/", 405, false, false},
		"another path":     {"GET", "/mounted/below", 200, true, true},
		"a broken query":   {"GET", "/?%zz;", 200, true, true},
		"OPTIONS, of CORS": {"OPTIONS", "/", 405, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			empty.ServeHTTP(w, httptest.NewRequest(tt.method, tt.url, nil))
			body := w.Body.String()
			if w.Code != tt.status || strings.Contains(body, "<h1>") != tt.body {
				t.Errorf("got %d and\n%s", w.Code, body)
			}
			if got := strings.Contains(body, `http-equiv="refresh" content="5"`); got != tt.reloads {
				t.Errorf("it reloads: %v, want %v", got, tt.reloads)
			}
			if w.Code == 405 && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %s", w.Header().Get("Allow"))
			}
		})
	}
}

// Nothing keeps the page or frames it, and the policy has no way around.
func TestHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	Login(w, http.StatusTooManyRequests, "Too many attempts: wait a second.")
	for name, h := range map[string]http.Header{"page": get(empty).Header, "login": w.Header()} {
		for key, want := range map[string]string{
			"Content-Type":           "text/html; charset=utf-8",
			"Cache-Control":          "no-store",
			"X-Frame-Options":        "DENY",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "same-origin",
		} {
			if got := h.Get(key); got != want {
				t.Errorf("%s: %s: %q, want %q", name, key, got, want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "style-src 'sha256-", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q is not in %q", name, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
			t.Errorf("%s: %q is loose", name, csp)
		}
	}
}

func TestLogin(t *testing.T) {
	w := httptest.NewRecorder()
	Login(w, http.StatusUnauthorized, hostile)
	if w.Code != http.StatusUnauthorized {
		t.Error("status ", w.Code)
	}
	page := w.Body.String()
	for _, want := range []string{
		`<form method="post" action="` + LoginPath + `">`,
		`name="` + SecretField + `" type="password"`,
		`<p class="why" role="alert">&lt;/style&gt;`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not on the page", want)
		}
	}
	w = httptest.NewRecorder()
	if Login(w, http.StatusOK, ""); strings.Contains(w.Body.String(), "alert") {
		t.Error("it complains without a message")
	}
}
