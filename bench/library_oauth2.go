package main

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"
)

var oauth2Library = library{
	name:   "x/oauth2",
	what:   "ReuseTokenSource, Transport",
	module: "golang.org/x/oauth2",
	window: "on demand, 10 s before the end; everybody waits",
	open: func(f fetch) source {
		return oauth2Source{oauth2.ReuseTokenSource(nil, tokens(f))}
	},
	transport: func(f fetch, base http.RoundTripper) http.RoundTripper {
		return &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, tokens(f)), Base: base}
	},
	mutex:   true,
	adapter: 16, // oauth2Source holds an interface
}

type oauth2Source struct{ src oauth2.TokenSource }

func (s oauth2Source) token(context.Context) (string, error) {
	tok, err := s.src.Token()
	if err != nil {
		return "", err
	}
	return tok.AccessToken, nil
}

// tokens is a fetch as an oauth2.TokenSource that takes no context.
type tokens fetch

func (f tokens) Token() (*oauth2.Token, error) {
	return contextTokens(f).TokenContext(context.Background())
}
