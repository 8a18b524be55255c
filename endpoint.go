package tokensource

// A token endpoint: what is asked, where, and with what. How the request is
// written and made is in internal/exchange.

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/exchange"
	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/origin"
)

// Endpoint is a token endpoint: each call is one POST that trades credentials
// for a token. [Blink], [Flinks] and [Blackhawk] are Endpoints with the
// documented facts filled in; a provider that is not here is a literal.
//
// Wrap it in a [Cache]. Its errors are [*Error].
type Endpoint struct {
	Provider    string      // name in errors, events and status; default: the URL's host
	URL         string      // required: scheme, host and path; https, or plain http to loopback
	Credentials Credentials // required

	// IDField and SecretField are the fields of the body that carry the
	// credentials. If both are empty they go by HTTP Basic, the pair as it is.
	IDField, SecretField string

	// Header is sent besides Accept and Content-Type. Names go out as they are
	// spelled here.
	Header http.Header

	Form url.Values     // the body as a form; default grant_type=client_credentials, which is added if it has no grant_type
	JSON map[string]any // the body as JSON instead; nothing is added but the credentials

	// Lifetime is the documented one: for a token whose answer has no readable
	// expires_in, expired_on, expires_on or expires_at. The last three, times as
	// RFC 3339 or in Unix seconds, never exceed it. If it is 0 such a token has no
	// expiry.
	Lifetime time.Duration

	// SingleUse says that a token serves one caller only. It carries its issue
	// time as Expiry, so that x/oauth2's caches never hand it out twice, and its
	// lifetime in ExpiresIn.
	SingleUse bool

	RetryCodes []string // error codes that mean "try again later" whatever the status

	// HTTPClient defaults to the context's oauth2.HTTPClient, else to one with
	// a timeout of 15 s. It is copied; redirects are never followed, and an
	// answer that came from another URL than the one asked is refused.
	HTTPClient *http.Client

	setting string // the field that the caller set the URL by; default URL
	mistake error  // in the rest of the caller's configuration
}

// Provider is a source that says which endpoint it asks. [Cache], [Transport]
// and [NewClient] take its name, identity, origin and single use from there. A
// type of your own is a first-class provider with this one method beside Token
// and TokenContext.
type Provider interface {
	ContextTokenSource
	Endpoint() *Endpoint
}

// Token is TokenContext without a context.
func (e *Endpoint) Token() (*oauth2.Token, error) { return e.TokenContext(context.Background()) }

// TokenContext requests a token. An absolute expiry in the answer counts from
// the answer's own Date, so a wrong local clock does not matter.
func (e *Endpoint) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	r, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	return e.send(ctx, r)
}

// Endpoint returns e: it is a [Provider].
func (e *Endpoint) Endpoint() *Endpoint { return e }

// endpointOf returns the endpoint that src asks, nil if src does not say.
func endpointOf(src oauth2.TokenSource) *Endpoint {
	p, ok := src.(Provider)
	if !ok {
		return nil
	}
	// It may panic: a nil pointer in an interface, as a rule.
	return (<-guard.Go(func() (*Endpoint, error) { return p.Endpoint(), nil })).Val
}

func (e *Endpoint) name() string {
	if u, err := e.location(); err == nil && e.Provider == "" {
		return u.Hostname()
	}
	return e.Provider
}

// origin is scheme://host[:port], "" if the URL is unusable: then there is no
// token to leak either.
func (e *Endpoint) origin() string {
	if u, err := e.location(); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// configured is the field that the caller set the URL by.
func (e *Endpoint) configured() string { return cmp.Or(e.setting, "URL") }

// location refuses what would send the secret in clear or hide one in the
// configuration. No error quotes the URL: there may be a password in it.
func (e *Endpoint) location() (*url.URL, error) {
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		return nil, fmt.Errorf("%s is not set: the provider names it at onboarding", e.configured())
	case err != nil || u.Hostname() == "":
		return nil, fmt.Errorf("%s is not a URL: write https://host", e.configured())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s must be scheme, host and path only: credentials go into Credentials", e.configured())
	case !origin.Secure(u):
		return nil, fmt.Errorf("%s: %w", e.configured(), ErrInsecure)
	}
	return u, nil
}

// below returns the URL of a path below a base that may lack its scheme.
// What is wrong with the base, location says.
func below(base, path string) string {
	if base != "" && !strings.Contains(base, "://") {
		base = "https://" + base
	}
	if u, err := url.Parse(base); err == nil && u.Host != "" { // without one the path would become it
		return u.JoinPath(path).String()
	}
	return base
}

// request is what e sends with the credentials of this moment. Its error is an
// *Error.
func (e *Endpoint) request(ctx context.Context) (*exchange.Request, error) {
	r, err := e.write(ctx)
	if err != nil {
		return nil, &Error{Provider: e.name(), Err: err}
	}
	return r, nil
}

func (e *Endpoint) write(ctx context.Context) (*exchange.Request, error) {
	u, err := e.location()
	if err = cmp.Or(e.mistake, err); err != nil {
		return nil, err
	}
	id, secret, err := e.Credentials.pair(ctx)
	switch inBody := e.IDField != ""; {
	case err != nil:
		return nil, err
	case !inBody && strings.Contains(id, ":"):
		return nil, fmt.Errorf("%w: the id contains a colon, which HTTP Basic cannot carry", ErrCredentials)
	case inBody && e.JSON != nil && !utf8.ValidString(id+secret):
		return nil, fmt.Errorf("%w: the id or secret is not UTF-8, which is all that JSON can carry", ErrCredentials)
	}
	r := &exchange.Request{
		URL: u, Setting: e.configured(), Client: e.HTTPClient,
		Lifetime: e.Lifetime, SingleUse: e.SingleUse, RetryCodes: e.RetryCodes,
	}
	return r, r.Write(exchange.Content{
		ID: id, Secret: secret, IDField: e.IDField, SecretField: e.SecretField,
		Header: e.Header, Form: e.Form, JSON: e.JSON,
	})
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprintOf is of use in this process only.
func fingerprintOf(r *exchange.Request) uint64 { return maphash.Bytes(fingerprintSeed, r.Identity()) }

// send makes a request. Its error is an *Error.
func (e *Endpoint) send(ctx context.Context, r *exchange.Request) (*oauth2.Token, error) {
	tok, f := r.Do(markTokenRequest(ctx))
	if f == nil {
		return tok, nil
	}
	err := f.Err
	if err == nil {
		err = refusal(f.Status, f.Code, f.Temporary, r.Setting)
	}
	return nil, &Error{
		Provider: e.name(), Status: f.Status, Code: f.Code, Description: f.Description, RetryAfter: f.RetryAfter,
		Err: err, judged: true, temporary: f.Temporary, fingerprint: fingerprintOf(r),
	}
}
