// Package tokensource gives a program a bearer token that is always there.
//
// Payment providers hand out short-lived tokens, each in its own way. Three
// kinds of struct nest in the order in which a request meets them:
//
//   - a provider ([Blink], [Flinks], [Blackhawk]) knows the wire: one call is
//     one request to the token endpoint;
//   - a [Cache] knows time: it shares one token among all callers, refreshes it
//     before it expires and lets one request do for everybody;
//   - a [Transport] knows HTTP requests: it adds the Authorization header and
//     replaces a token that the API rejected.
//
// [NewClient] puts the three together:
//
//	client := tokensource.NewClient(&tokensource.Blink{
//		Credentials: tokensource.EnvCredentials("BLINK_API_KEY", "BLINK_SECRET_KEY"),
//	})
//	resp, err := client.Get("https://secure.blinkpayment.co.uk/api/pay/v1/...")
//
// Providers and the Cache are [oauth2.TokenSource], so they also fit wherever
// one is taken: oauth2.NewClient, oauth2.Transport, gRPC's oauth credentials.
// They are [ContextTokenSource] too: a caller can leave on its own context.
//
// Every struct is configured by its exported fields, has documented defaults,
// is safe for concurrent use once configured, and must not be copied after
// first use.
//
// # Errors
//
// Every failure to get a token is an [*Error]: provider, HTTP status, the
// provider's code and description, and how long to wait. errors.Is tells
// [ErrCredentials] (rotate or fix them), [ErrInsecure] (fix the URL) and
// [ErrClosed]; [Error.Temporary] tells an outage from a mistake. No error,
// event or %+v of a configuration contains a secret, a token or a body.
//
// # Single-use tokens
//
// A Flinks token may start one session only. [Flinks] therefore gives every
// call a token of its own, through a Cache as well. A session that needs its
// token for several requests pins it with [oauth2.StaticTokenSource].
package tokensource

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"
)

// ContextTokenSource is an [oauth2.TokenSource] that can also be asked with a
// context. Token is TokenContext with [context.Background].
type ContextTokenSource interface {
	oauth2.TokenSource
	TokenContext(ctx context.Context) (*oauth2.Token, error)
}

// TokenFunc is a function as a token source, as [http.HandlerFunc] is one as a
// handler. &Cache{Source: TokenFunc(config.Token)} is the way for a
// clientcredentials.Config, whose own TokenSource would cache underneath.
type TokenFunc func(ctx context.Context) (*oauth2.Token, error)

// Token is TokenContext without a context.
func (f TokenFunc) Token() (*oauth2.Token, error) { return f(context.Background()) }

// TokenContext calls f.
func (f TokenFunc) TokenContext(ctx context.Context) (*oauth2.Token, error) { return f(ctx) }

// NewClient returns an http.Client that adds src's token to its requests:
// a [Transport] around a [Cache] around src, or around src itself if that is a
// Cache. The token goes to the Transport's default origins only: those of a
// [Provider] are its own. Base is the transport of the Provider's HTTPClient, if
// it has one; the client has no timeout. For anything else (another certificate
// or proxy, more origins), build the Transport yourself.
func NewClient(src oauth2.TokenSource) *http.Client {
	cache, ok := src.(*Cache)
	if !ok {
		cache = &Cache{Source: src}
	}
	t := &Transport{Source: cache}
	if e := endpointOf(cache.Source); e != nil && e.HTTPClient != nil {
		t.Base = e.HTTPClient.Transport
	}
	return &http.Client{Transport: t}
}
