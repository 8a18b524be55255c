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
	"fmt"
	"net/http"
	"os"
	"strings"

	"golang.org/x/oauth2"
)

// ContextTokenSource is an [oauth2.TokenSource] that can also be asked with a
// context. Token is TokenContext with [context.Background].
type ContextTokenSource interface {
	oauth2.TokenSource
	TokenContext(ctx context.Context) (*oauth2.Token, error)
}

// Credentials returns the pair that a provider authenticates with. It is asked
// anew for every token request, so that a rotated secret is picked up without
// a restart. Being a func it prints as an address, never as the secret.
type Credentials func(ctx context.Context) (id, secret string, err error)

// StaticCredentials always returns the same pair.
func StaticCredentials(id, secret string) Credentials {
	return func(context.Context) (string, string, error) { return id, secret, nil }
}

// EnvCredentials reads the pair from two environment variables at each call.
// Where one is unset or empty the error names it and wraps [ErrCredentials].
func EnvCredentials(idVar, secretVar string) Credentials {
	return readCredentials(idVar, secretVar, func(name string) (string, error) {
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("environment variable %s is not set", name)
	})
}

// FileCredentials reads the pair from two files at each call, as a mounted
// secret is rotated in place. Newlines at the end are trimmed. The error of an
// unreadable or empty file names it and wraps [ErrCredentials].
func FileCredentials(idPath, secretPath string) Credentials {
	return readCredentials(idPath, secretPath, func(path string) (string, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if v := strings.TrimRight(string(b), "\r\n"); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("file %s is empty", path)
	})
}

func readCredentials(idName, secretName string, read func(string) (string, error)) Credentials {
	return func(context.Context) (id, secret string, err error) {
		if id, err = read(idName); err == nil {
			secret, err = read(secretName)
		}
		if err != nil {
			return "", "", &rewordedError{err.Error(), fmt.Errorf("%w: %w", ErrCredentials, err)}
		}
		return id, secret, nil
	}
}

func (c Credentials) pair(ctx context.Context) (id, secret string, err error) {
	if c == nil {
		return "", "", fmt.Errorf("%w: set the Credentials field", ErrCredentials)
	}
	if id, secret, err = c(ctx); err != nil {
		return "", "", fmt.Errorf("reading the credentials: %w", err)
	}
	if id == "" || secret == "" {
		return "", "", fmt.Errorf("%w: Credentials returned an empty id or secret", ErrCredentials)
	}
	return id, secret, nil
}

// NewClient returns an http.Client that adds src's token to its requests:
// a [Transport] around a [Cache] around src, or around src itself where that
// is a Cache. With a provider of this package the token goes to the provider's
// own origin only; with any other source, to the origin of the first request of
// a redirect chain. The client has no timeout; to set another base transport
// (mutual TLS, a proxy), build the Transport yourself.
func NewClient(src oauth2.TokenSource) *http.Client {
	cache, ok := src.(*Cache)
	if !ok {
		cache = &Cache{Source: src}
	}
	t := &Transport{Source: cache}
	if p, ok := cache.Source.(provider); ok {
		// A provider without a usable URL has no token to leak either: its
		// error comes with the first request.
		if u, err := p.request().endpoint(); err == nil {
			t.Origins = []string{u.Scheme + "://" + u.Host}
		}
	}
	return &http.Client{Transport: t}
}
