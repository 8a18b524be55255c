package main

import (
	"context"
	"net/http"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
)

var googleLibrary = library{
	name:   "Google auth",
	what:   "CachedTokenProvider, AddAuthorizationMiddleware",
	module: "cloud.google.com/go/auth",
	window: "in the background, by the first call in the last 225 s; after that has failed not before the end, when everybody waits",
	open: func(f fetch) source {
		return googleProvider{newProvider(f)}
	},
	transport: func(f fetch, base http.RoundTripper) http.RoundTripper {
		client := &http.Client{Transport: base}
		creds := auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: newProvider(f)})
		if err := httptransport.AddAuthorizationMiddleware(client, creds); err != nil {
			panic(err) // only a nil argument does that
		}
		return client.Transport
	},
	mutex:   true,
	adapter: 16, // googleProvider holds an interface
}

func newProvider(f fetch) auth.TokenProvider {
	return auth.NewCachedTokenProvider(googleTokens(f), nil)
}

type googleProvider struct{ provider auth.TokenProvider }

func (p googleProvider) token(ctx context.Context) (string, error) {
	tok, err := p.provider.Token(ctx)
	if err != nil {
		return "", err
	}
	return tok.Value, nil
}

type googleTokens fetch

func (f googleTokens) Token(ctx context.Context) (*auth.Token, error) {
	access, expiry, err := f(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: access, Expiry: expiry}, nil
}
