package dropin_test

// golang.org/x/oauth2: its wrappers ask a source without a context and keep the
// token until it expires.

import (
	"context"
	"net/http"
	"testing"

	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
)

func TestOAuth2(t *testing.T) {
	for _, way := range []struct {
		name   string
		tokens int // for three requests
		client func(context.Context, *fixture) *http.Client
	}{
		{"NewClient around the provider", 1, func(ctx context.Context, f *fixture) *http.Client {
			return oauth2.NewClient(ctx, f.source)
		}},
		{"NewClient around a Cache", 1, func(ctx context.Context, f *fixture) *http.Client {
			return oauth2.NewClient(ctx, f.cache)
		}},
		{"Transport around the provider, where nothing keeps a token", 3, func(_ context.Context, f *fixture) *http.Client {
			return &http.Client{Transport: &oauth2.Transport{Source: f.source, Base: f.wire}}
		}},
		{"Transport around a Cache", 1, func(_ context.Context, f *fixture) *http.Client {
			return &http.Client{Transport: &oauth2.Transport{Source: f.cache, Base: f.wire}}
		}},
	} {
		for _, p := range providers {
			t.Run(way.name+"/"+p.name, func(t *testing.T) {
				f := p.start(t, sandbox.New)
				client := way.client(f.context(t), f)
				for range 3 {
					send(t, client, http.MethodGet, f.api, "", http.StatusOK)
				}
				f.expect(t, want{accepted: 3, tokens: way.tokens, singleUse: 3})
			})
		}
	}
}

// context gives oauth2.NewClient its base transport.
func (f *fixture) context(t *testing.T) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: f.wire})
}

// A Flinks token starts one session and serves the rest of it: whoever makes
// the session's requests pins the token.
func TestOAuth2PinnedSession(t *testing.T) {
	f := flinks.start(t, sandbox.New)
	tok, err := f.cache.TokenContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := oauth2.NewClient(f.context(t), oauth2.StaticTokenSource(tok))
	for _, url := range []string{f.api, f.box.URL + "/api/v1/sessions/payment", f.box.URL + "/api/v1/sessions/status"} {
		send(t, session, http.MethodPost, url, "", http.StatusOK)
	}
	f.expect(t, want{accepted: 3, singleUse: 1})
}
