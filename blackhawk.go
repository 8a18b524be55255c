package tokensource

// Blackhawk Network (BHN): client credentials by Basic, a header of their own,
// two shapes of error.

import (
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

// Token is TokenContext without a context.
func (b *Blackhawk) Token() (*oauth2.Token, error) { return b.TokenContext(context.Background()) }

// TokenContext requests a token. Errors are [*Error].
func (b *Blackhawk) TokenContext(ctx context.Context) (*oauth2.Token, error) { return token(ctx, b) }

func (b *Blackhawk) name() string { return "blackhawk" }

func (b *Blackhawk) credentials() Credentials { return b.Credentials }

func (b *Blackhawk) endpoint() (*url.URL, error) {
	if b.TokenPath == "" {
		return endpointURL(b.BaseURL, blackhawkPath)
	}
	return endpointURL(b.BaseURL, b.TokenPath)
}

func (b *Blackhawk) request(id, secret string) (*tokenRequest, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if b.Scope != "" {
		form.Set("scope", b.Scope)
	}
	r := &tokenRequest{
		client: b.HTTPClient,
		header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"},
			// Set under its own spelling: canonicalised it would be Response_type.
			"response_type": {"token id_token"},
		},
		body:     []byte(form.Encode()),
		lifetime: blackhawkLifetime,
	}
	return r, r.basicAuth(id, secret)
}
