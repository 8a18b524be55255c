package tokensource

// Blackhawk Network (BHN): client credentials by Basic, a header of their own,
// two shapes of error.

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

const (
	blackhawkPath = "/api/auth"

	// "The issued auth token is valid for 600 seconds" (Get Auth Token). The
	// token's own claims say otherwise and are never read.
	blackhawkLifetime = 600 * time.Second
)

// Blackhawk gets tokens for the Blackhawk Network APIs; each call is one
// request.
type Blackhawk struct {
	Credentials Credentials // clientId and clientSecret; required
	BaseURL     string      // required; with or without https://
	TokenPath   string      // default /api/auth; a sample of the reference has /authentication/auth
	Scope       string      // default: none, which means all APIs that the client may use

	// HTTPClient, for mutual TLS, is a client with a certificate. It defaults
	// to the context's oauth2.HTTPClient, else to one with a timeout of 15 s.
	// It is copied; redirects are never followed.
	HTTPClient *http.Client
}

// Endpoint returns the endpoint of this configuration.
func (b *Blackhawk) Endpoint() *Endpoint {
	e := &Endpoint{
		Provider:    "blackhawk",
		URL:         below(b.BaseURL, cmp.Or(b.TokenPath, blackhawkPath)),
		Credentials: b.Credentials,
		// Under its own spelling: canonicalised it would be Response_type.
		Header:     http.Header{"response_type": {"token id_token"}},
		Form:       url.Values{},
		Lifetime:   blackhawkLifetime,
		HTTPClient: b.HTTPClient,
		setting:    "BaseURL",
	}
	if b.Scope != "" {
		e.Form.Set("scope", b.Scope)
	}
	return e
}

// Token is TokenContext without a context.
func (b *Blackhawk) Token() (*oauth2.Token, error) { return b.TokenContext(context.Background()) }

// TokenContext requests a token. Errors are [*Error].
func (b *Blackhawk) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	return b.Endpoint().TokenContext(ctx)
}
