// Package tokensource gives a program a bearer token that is always there.
//
// Payment providers hand out short-lived tokens, each in its own way. Three
// kinds of struct nest in the order in which a request meets them:
//
//   - an [Endpoint] knows the wire: one call is one request to the token
//     endpoint. [Blink], [Flinks] and [Blackhawk] are Endpoints with the
//     documented facts filled in; a provider that is not here is a literal;
//   - a [Cache] knows time: it shares one token among all callers, refreshes it
//     before it expires, and one request serves all who wait;
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
// Endpoints, providers and the Cache are [oauth2.TokenSource], so they also fit
// into code that takes one: oauth2.NewClient, gRPC's oauth credentials. They are
// [ContextTokenSource] too: a caller can leave on its own context.
//
// Every struct is configured by its exported fields, has documented defaults,
// is safe for concurrent use once configured, and must not be copied after
// first use.
//
// # Errors
//
// Every failure to get a token is an [*Error]: provider, HTTP status, the
// provider's code and description, and how long to wait. errors.Is tells
// [ErrCredentials] (rotate or fix them), [ErrInsecure] (use https), [ErrOrigin]
// (name the API's origin) and [ErrClosed]; [Error.Temporary] tells an outage from
// a mistake. No error, event or %+v of a configuration contains a secret, a token
// or a body. Of what Header, Form or JSON of an Endpoint carry besides the
// credentials, errors hide what is named like a secret (a password, token or key);
// %+v of the Endpoint shows it.
//
// # Single-use tokens
//
// A Flinks token may start one session only. [Flinks] therefore gives each call
// a token of its own, through a Cache as well, which can keep some ready
// ([Cache.Ready]). A session that needs its token for several requests pins it
// with [oauth2.StaticTokenSource].
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
// handler: &Cache{Source: TokenFunc(config.Token)} for a clientcredentials.Config,
// whose own TokenSource would cache underneath.
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
