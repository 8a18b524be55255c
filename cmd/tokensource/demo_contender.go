package main

// Who takes part. Each contender has a sandbox of its own, and a lane for each
// provider.

import (
	"context"
	"net/http"
	"slices"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

const libraryName = "tokensource"

// contender is a library under test.
type contender struct {
	name    string
	url     string            // of the sandbox
	sandbox *sandbox.Sandbox  // nil where another process runs it
	base    http.RoundTripper // reaches it
	lanes   []*lane
	closers []func() error
}

func newContender(name string, s *scenario) *contender {
	sb := s.startSandbox(sandbox.Config{TokenLifetime: s.Lifetime})
	c := &contender{name: name, url: sb.URL, sandbox: sb, base: sb.Client().Transport}
	c.closers = append(c.closers, func() error { sb.Close(); return nil })
	if t, ok := c.base.(*http.Transport); ok {
		c.connect(t.Clone(), s)
	}
	return c
}

// connect has c use t, which is its own.
func (c *contender) connect(t *http.Transport, s *scenario) {
	// The default keeps two connections, and the rest would be handshakes.
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 4*s.Workers*len(sandbox.Providers())
	c.base = t
	c.closers = append(c.closers, func() error { t.CloseIdleConnections(); return nil })
}

func (c *contender) close() {
	for _, f := range slices.Backward(c.closers) {
		f()
	}
}

// newTokensource is the library: Transport, Cache and provider.
func newTokensource(s *scenario) *contender {
	c := newContender(libraryName, s)
	for _, p := range sandbox.Providers() {
		l := c.addLane(s, p)
		l.client = c.clientWith(c.cache(l))
	}
	return c
}

// cache is the library's over a lane's provider.
func (c *contender) cache(l *lane) *tokensource.Cache {
	cache := &tokensource.Cache{
		Source:       c.provider(l),
		EarlyRefresh: l.scenario.earlyWindow(),
		OnToken:      l.onToken,
		OnEvent:      l.onEvent,
	}
	c.closers = append(c.closers, cache.Close)
	l.replaces = true
	return cache
}

// clientWith is a client of the API that uses the library's Transport.
func (c *contender) clientWith(src oauth2.TokenSource) *http.Client {
	return &http.Client{Transport: &tokensource.Transport{
		Source:  src,
		Base:    apiTap{c.base},
		Origins: []string{c.url},
	}}
}

// newOAuth2 is x/oauth2's cache and transport over the same providers. Its
// cache calls a token used up 10 s before expiry, which is longer than these
// tokens live and would switch it off: it gets the Cache's margin instead.
func newOAuth2(s *scenario) *contender {
	c := newContender("golang.org/x/oauth2", s)
	for _, p := range sandbox.Providers() {
		l := c.addLane(s, p)
		c.useOAuth2(s, l, c.provider(l))
	}
	return c
}

// newUnmarked is x/oauth2 alone, at Flinks: our provider gives single-use
// tokens no time to live, so that x/oauth2 never reuses them; x/oauth2's own
// client credentials know nothing of single use.
func newUnmarked(s *scenario) *contender {
	c := newContender("golang.org/x/oauth2 alone", s)
	l := c.addLane(s, sandbox.Flinks)
	l.single = false // as far as x/oauth2 knows
	c.useOAuth2(s, l, &clientCredentials{
		context.WithValue(context.Background(), oauth2.HTTPClient, c.tokenClient(l)),
		clientcredentials.Config{
			ClientID:     sandbox.ID,
			ClientSecret: sandbox.Secret,
			TokenURL:     c.url + "/api/v1/authorize",
			AuthStyle:    oauth2.AuthStyleInHeader,
		},
	})
	return c
}

func (c *contender) useOAuth2(s *scenario, l *lane, src oauth2.TokenSource) {
	l.client = &http.Client{Transport: &oauth2.Transport{
		Source: oauth2.ReuseTokenSourceWithExpiry(nil, src, s.margin()),
		Base:   apiTap{c.base},
	}}
}

// clientCredentials is clientcredentials.Config without the cache that its
// TokenSource brings, whose margin of 10 s cannot be changed.
type clientCredentials struct {
	ctx    context.Context
	config clientcredentials.Config
}

func (c *clientCredentials) Token() (*oauth2.Token, error) { return c.config.Token(c.ctx) }

// provider is the source of a lane's tokens.
func (c *contender) provider(l *lane) oauth2.TokenSource {
	credentials := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	client := c.tokenClient(l)
	switch l.provider {
	case sandbox.Flinks:
		return &tokensource.Flinks{Credentials: credentials, BaseURL: c.url, HTTPClient: client}
	case sandbox.Blackhawk:
		return &tokensource.Blackhawk{Credentials: credentials, BaseURL: c.url, HTTPClient: client}
	}
	return &tokensource.Blink{
		Credentials: credentials,
		BaseURL:     c.url,
		Legacy:      l.provider == sandbox.BlinkLegacy,
		HTTPClient:  client,
	}
}

func (c *contender) tokenClient(l *lane) *http.Client {
	return &http.Client{Transport: &tokenTap{c.base, l}}
}

func (c *contender) addLane(s *scenario, p sandbox.Provider) *lane {
	l := &lane{scenario: s, contender: c, provider: p, single: p == sandbox.Flinks, url: c.sandbox.APIURL(p)}
	l.tokenEndpoints(slow)
	c.lanes = append(c.lanes, l)
	return l
}
