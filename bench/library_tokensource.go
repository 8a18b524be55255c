package main

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

var tokensourceLibrary = library{
	name:   "tokensource",
	what:   "Cache, Transport",
	module: "github.com/tokensource-go/tokensource",
	window: "in the background, a fifth of the lifetime (at most 5 min) before the end, less up to 20% jitter; a token's last 10 s (at most a tenth) are not used",
	open: func(f fetch) source {
		return tokensourceCache{newCache(f)}
	},
	transport: func(f fetch, base http.RoundTripper) http.RoundTripper {
		return &tokensource.Transport{Source: newCache(f), Base: base}
	},
}

func newCache(f fetch) *tokensource.Cache { return &tokensource.Cache{Source: contextTokens(f)} }

type tokensourceCache struct{ *tokensource.Cache }

func (c tokensourceCache) token(ctx context.Context) (string, error) {
	tok, err := c.TokenContext(ctx)
	if err != nil {
		return "", err
	}
	return tok.AccessToken, nil
}

// contextTokens is a fetch as a tokensource.ContextTokenSource.
type contextTokens fetch

func (f contextTokens) Token() (*oauth2.Token, error) { return f.TokenContext(context.Background()) }

func (f contextTokens) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	access, expiry, err := f(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: access, Expiry: expiry}, nil
}
