package tokensource

// Flinks Pay: form-encoded client credentials, tokens that may start one
// session only.

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

const (
	flinksPath = "/api/v1/authorize"

	// "By default, the access_token is valid for 299 seconds" (Flinks Pay,
	// /Authorize). It also applies to reusable tokens (599 s) whose answer has no
	// expires_in: the shorter lifetime is the safe one.
	flinksLifetime = 299 * time.Second
)

// Flinks gets tokens for Flinks Pay; each call is one request.
//
// A token may start a single session, so by default it is used once: it carries
// its issue time as Expiry (x/oauth2's caches then never hand it out twice) and
// its lifetime in ExpiresIn, and a [Cache] gets one for each call. The session's
// later requests need the same token: pin it with [oauth2.StaticTokenSource].
type Flinks struct {
	Credentials Credentials // username and password; required
	BaseURL     string      // required; issued at onboarding

	// AuthStyle says where the credentials go: oauth2.AuthStyleInHeader (HTTP
	// Basic, the default) or oauth2.AuthStyleInParams (form fields Username and
	// Password). It is never probed.
	AuthStyle oauth2.AuthStyle

	// Reusable is for the products whose tokens serve all calls: EFT v2,
	// e-transfer, GEFT.
	Reusable bool

	// HTTPClient defaults to the context's oauth2.HTTPClient, else to one with
	// a timeout of 15 s. It is copied; redirects are never followed.
	HTTPClient *http.Client
}

// Endpoint returns the endpoint of this configuration.
func (f *Flinks) Endpoint() *Endpoint {
	e := &Endpoint{
		Provider:    "flinks",
		URL:         below(f.BaseURL, flinksPath),
		Credentials: f.Credentials,
		Lifetime:    flinksLifetime,
		SingleUse:   f.SingleUse(),
		RetryCodes:  []string{"TOO_MANY_REQUESTS", "RETRY_LATER"},
		HTTPClient:  f.HTTPClient,
		setting:     "BaseURL",
	}
	byBasic := f.AuthStyle == oauth2.AuthStyleInHeader || f.AuthStyle == oauth2.AuthStyleAutoDetect
	switch {
	case f.AuthStyle == oauth2.AuthStyleInParams:
		e.IDField, e.SecretField = "Username", "Password"
	case !byBasic:
		e.mistake = errors.New("AuthStyle must be oauth2.AuthStyleInHeader or oauth2.AuthStyleInParams")
	}
	return e
}

// SingleUse reports whether each token may be used once only: unless Reusable.
func (f *Flinks) SingleUse() bool { return !f.Reusable }

// Token is TokenContext without a context.
func (f *Flinks) Token() (*oauth2.Token, error) { return f.TokenContext(context.Background()) }

// TokenContext requests a token. Errors are [*Error].
func (f *Flinks) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	return f.Endpoint().TokenContext(ctx)
}
