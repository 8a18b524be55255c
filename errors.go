package tokensource

// The one typed error of the package, and what tells its kinds apart.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"
)

var (
	// ErrCredentials: the provider rejected the credentials (401, 403,
	// invalid_client), or there are none. Fix or rotate them.
	ErrCredentials = errors.New("credentials missing or rejected: check them")

	// ErrInsecure: a secret or token would have gone over plain HTTP to
	// another machine. Use an https URL.
	ErrInsecure = errors.New("plain http is refused except to loopback: use https")

	// ErrClosed: the Cache was closed.
	ErrClosed = errors.New("the cache is closed")
)

// Error is every failure to get a token. It holds no secret, token or body.
//
// errors.As also finds an [*oauth2.RetrieveError] in it where the provider
// answered, so code written for x/oauth2 keeps working; its Body is empty.
type Error struct {
	Provider          string        // blink, flinks, blackhawk; empty for sources that are not ours
	Status            int           // HTTP status of the token endpoint's answer; 0 without one
	Code, Description string        // the provider's own, from whichever error shape came; cut to 300 bytes
	RetryAfter        time.Duration // wait at least this long before the next attempt; 0 where nothing says so
	Err               error         // what went wrong and what to do

	// fingerprint is of the request that failed, keyed with a per-process
	// seed: the Cache sees by it when the credentials have changed.
	fingerprint uint64
}

func (e *Error) Error() string {
	var status, cause string
	if e.Status != 0 {
		status = strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
	}
	if e.Err != nil {
		cause = e.Err.Error()
	}
	parts := []string{"tokensource", e.Provider, status, e.Code, strings.TrimSuffix(e.Description, "."), cause}
	text := strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (retry after %v)", e.RetryAfter.Round(time.Millisecond))
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// As lets errors.As find an *oauth2.RetrieveError.
func (e *Error) As(target any) bool {
	re, ok := target.(**oauth2.RetrieveError)
	if !ok || errors.As(e.Err, re) {
		return ok
	}
	if e.Status == 0 {
		return false
	}
	resp := &http.Response{
		StatusCode: e.Status,
		Status:     fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)),
		Header:     http.Header{},
		Body:       http.NoBody,
	}
	if e.RetryAfter > 0 {
		resp.Header.Set("Retry-After", fmt.Sprint(int64((e.RetryAfter+time.Second-1)/time.Second)))
	}
	*re = &oauth2.RetrieveError{Response: resp, ErrorCode: e.Code, ErrorDescription: e.Description}
	return true
}

// Temporary reports whether the same request may well succeed later: the
// network failed, the provider answered 5xx, 429 or 408, or its answer could
// not be read. It is false for refused requests and mistakes in the
// configuration.
func (e *Error) Temporary() bool {
	if e.Status != 0 {
		return e.Status/100 == 2 && e.Code == "" || e.Status >= 500 ||
			e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout
	}
	var network *url.Error
	var untrusted *tls.CertificateVerificationError
	var op *net.OpError
	refused := errors.As(e.Err, &op) && op.Op == "remote error" // TLS: no client certificate, as a rule
	reached := errors.As(e.Err, &network) && !errors.As(e.Err, &untrusted) && !refused
	return reached || errors.Is(e.Err, context.DeadlineExceeded)
}

// errorOfStatus says what a refusal means.
func errorOfStatus(status int, code string) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		code == "invalid_client", code == "unauthorized_client": // RFC 6749, 5.2
		return ErrCredentials
	case status == http.StatusTooManyRequests:
		return errors.New("the provider limits the rate: wait")
	case status >= 500, status == http.StatusRequestTimeout:
		return errors.New("the provider is failing: try again later")
	case status/100 == 3:
		return errors.New("redirects are not followed, they would take the secret elsewhere: check BaseURL")
	}
	return errors.New("the provider refused the request: check BaseURL and the options")
}

// asError makes sure that there is an *Error in what a source returned, so that
// callers meet one type only.
func asError(provider string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &Error{Provider: provider, Err: err}
	if re := (*oauth2.RetrieveError)(nil); errors.As(err, &re) && re.Response != nil {
		e.Status = re.Response.StatusCode
		e.Code, e.Description = printable(re.ErrorCode), printable(re.ErrorDescription)
		e.RetryAfter = retryAfter(re.Response.Header, time.Now())
		// Its own text quotes the response's body.
		kind := errorOfStatus(e.Status, e.Code)
		e.Err = &rewordedError{kind.Error(), fmt.Errorf("%w: %w", kind, err)}
	}
	return e
}

// printable cuts a foreign text to what is fit for one line of a log.
func printable(s string) string {
	const limit = 300
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return strings.TrimSpace(s)
}
