package dropin_test

// What the recipes share: every provider as a program configures it, in a
// sandbox of its own, and a look at what goes over the wire.

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
)

var creds = tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)

type provider struct {
	name      string
	id        sandbox.Provider
	singleUse bool
	configure func(url string, client *http.Client) oauth2.TokenSource
}

var blackhawk = provider{"blackhawk", sandbox.Blackhawk, false, func(url string, client *http.Client) oauth2.TokenSource {
	return &tokensource.Blackhawk{Credentials: creds, BaseURL: url, HTTPClient: client}
}}

var flinks = provider{"flinks", sandbox.Flinks, true, func(url string, client *http.Client) oauth2.TokenSource {
	return &tokensource.Flinks{Credentials: creds, BaseURL: url, HTTPClient: client}
}}

var providers = []provider{
	{"blink", sandbox.Blink, false, func(url string, client *http.Client) oauth2.TokenSource {
		return &tokensource.Blink{Credentials: creds, BaseURL: url, HTTPClient: client}
	}},
	{"blink legacy", sandbox.BlinkLegacy, false, func(url string, client *http.Client) oauth2.TokenSource {
		return &tokensource.Blink{Credentials: creds, BaseURL: url, HTTPClient: client, Legacy: true}
	}},
	blackhawk,
	{"flinks reusable", sandbox.Flinks, false, func(url string, client *http.Client) oauth2.TokenSource {
		return &tokensource.Flinks{Credentials: creds, BaseURL: url, HTTPClient: client, Reusable: true}
	}},
	flinks,
}

// fixture is one provider at work.
type fixture struct {
	provider
	box    *sandbox.Sandbox
	api    string // URL
	source oauth2.TokenSource
	cache  *tokensource.Cache // around source
	wire   *wire              // base transport to the API
}

func (p provider) start(t *testing.T, open func(sandbox.Config) *sandbox.Sandbox) *fixture {
	box := open(sandbox.Config{FlinksReusable: !p.singleUse})
	t.Cleanup(box.Close)
	source := p.configure(box.URL, box.Client())
	cache := &tokensource.Cache{Source: source}
	t.Cleanup(func() { cache.Close() })
	return &fixture{p, box, box.APIURL(p.id), source, cache, &wire{base: box.Client().Transport}}
}

// rejectNext makes the API answer the next request with 401.
func (f *fixture) rejectNext() {
	f.box.Script(f.id, sandbox.API, sandbox.Fault{Status: http.StatusUnauthorized})
}

// want is what a test leaves in the ledger.
type want struct {
	accepted  int // requests
	tokens    int // that all of them take,
	singleUse int // or this many of a provider whose tokens serve one request
}

// expect compares the ledger and the wire: no token was fetched in vain, all of
// them were seen, none was spent twice.
func (f *fixture) expect(t *testing.T, w want) {
	t.Helper()
	if f.singleUse {
		w.tokens = w.singleUse
	}
	got := f.box.Ledger()[f.id]
	if got.TokensIssued != w.tokens || got.TokenRequests != w.tokens || got.Accepted != w.accepted || got.ReusedSingleUse != 0 {
		t.Errorf("the ledger says %+v, want %d tokens, %d requests accepted, no token reused", got, w.tokens, w.accepted)
	}
	if seen := slices.Compact(slices.Sorted(slices.Values(f.wire.authorization))); len(seen) != w.tokens {
		t.Errorf("the requests carried %d different tokens, want %d", len(seen), w.tokens)
	}
}

// wire notes what the requests to the API carry.
type wire struct {
	base http.RoundTripper

	mu            sync.Mutex
	authorization []string
	bodies        []string
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	var body bytes.Buffer
	if req.Body != nil {
		defer req.Body.Close()
		if _, err := body.ReadFrom(req.Body); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.authorization = append(w.authorization, req.Header.Get("Authorization"))
	w.bodies = append(w.bodies, body.String())
	w.mu.Unlock()
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(&body)
	return w.base.RoundTrip(req)
}

func send(t *testing.T, client *http.Client, method, url, body string, status int) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		t.Errorf("got %s, want %d", resp.Status, status)
	}
}
