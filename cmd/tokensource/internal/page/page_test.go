package page

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
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
}

func newService(t *testing.T) *service {
	s := &service{sandbox: sandbox.NewInProcess(sandbox.Config{})}
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
func get(sources ...Source) *http.Response {
	w := httptest.NewRecorder()
	Handler(func() []Source { return sources }).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Result()
}

// scenes are the pages that are looked at, by the name of their screenshots.
var scenes = map[string]func(t *testing.T) *http.Response{
	"health": func(t *testing.T) *http.Response {
		s := newService(t)
		s.ask(7*time.Second, 80*time.Minute+20*time.Second)
		return get(s.sources...)
	},
	"outage": func(t *testing.T) *http.Response { return get(outage(t).sources...) },
	"odd": func(t *testing.T) *http.Response {
		s := &service{}
		s.add(t, strings.Repeat("long-name", 30), &tokensource.Cache{Source: broken(strings.Repeat("long", 200))})
		s.add(t, hostile, &tokensource.Cache{Source: broken(hostile)})
		s.add(t, "no expiry", &tokensource.Cache{Source: tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "token-without-end"}, nil
		})})
		s.ask(time.Minute, 3*time.Minute)
		return get(s.sources...)
	},
	"start": func(t *testing.T) *http.Response { return get(newService(t).sources...) },
	"empty": func(*testing.T) *http.Response { return get() },
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
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
