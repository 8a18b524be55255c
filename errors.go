package tokensource

// The one typed error of the package, and what tells its kinds apart.

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/exchange"
)

var (
	// ErrCredentials: the provider rejected the credentials (401, 403,
	// invalid_client), or there are none that can be sent. Fix or rotate them.
	ErrCredentials = errors.New("credentials missing or rejected: check them")

	// ErrInsecure: a secret or token would have gone over plain HTTP to
	// another machine. Use an https URL.
	ErrInsecure = errors.New("plain http is refused except to loopback: use https")

	// ErrOrigin: the first request of a redirect chain goes to an origin that
	// may not have the token.
	ErrOrigin = errors.New("this origin may not have the token")

	// ErrClosed: the Cache was closed.
	ErrClosed = errors.New("the cache is closed")
)

// Error is every failure to get a token. It holds no secret, token or body.
//
// errors.As also finds an [*oauth2.RetrieveError] in it if the provider
// answered, so code written for x/oauth2 keeps working; its Body is empty.
type Error struct {
	Provider          string        // the Endpoint's; empty for a source that has none
	Status            int           // HTTP status of the token endpoint's answer; 0 without one
	Code, Description string        // the provider's own, from whichever error shape came; cut to 300 bytes
	RetryAfter        time.Duration // wait at least this long before the next attempt; 0 if nothing says so
	Err               error         // what went wrong and what to do

	// fingerprint is of the request that failed, keyed with a per-process
	// seed: the Cache sees by it when the credentials have changed.
	fingerprint uint64

	// What an Endpoint knows about trying again; an Error from elsewhere is not
	// judged.
	judged, temporary bool
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
	return exchange.Line(text)
}

func (e *Error) Unwrap() error { return e.Err }

// As lets errors.As find an *oauth2.RetrieveError.
func (e *Error) As(target any) bool {
	re, ok := target.(**oauth2.RetrieveError)
	if !ok || e.Status == 0 {
		return false
	}
	resp := &http.Response{
		StatusCode: e.Status,
		Status:     fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)),
		Header:     http.Header{},
		Body:       http.NoBody,
		Request:    &http.Request{Method: http.MethodPost, URL: new(url.URL), Header: http.Header{}},
	}
	if e.RetryAfter > 0 {
		resp.Header.Set("Retry-After", fmt.Sprint(int64((e.RetryAfter+time.Second-1)/time.Second)))
	}
	*re = &oauth2.RetrieveError{Response: resp, ErrorCode: e.Code, ErrorDescription: e.Description}
	return true
}

// Temporary reports whether the same request may well succeed later: the
// network failed, the provider answered 5xx, 429 or 408 or said so by its code,
// or its answer could not be read. It is false for refused requests and
// mistakes in the configuration, of TLS or of a proxy too.
func (e *Error) Temporary() bool {
	switch {
	case e.judged:
		return e.temporary
	case e.Status != 0:
		return exchange.Temporary(e.Status, e.Code)
	}
	return exchange.TemporaryError(e.Err)
}

// Timeout reports whether time ran out, as [net.Error] and [os.IsTimeout] have
// it.
func (e *Error) Timeout() bool { return exchange.Timeout(e.Err) }

// refusal says what a refusal means.
func refusal(status int, code string, temporary bool, setting string) error {
	switch {
	case status == http.StatusTooManyRequests:
		return errors.New("the provider limits the rate: wait")
	case temporary:
		return errors.New("the provider is failing or busy: try again later")
	case exchange.Rejected(status, code):
		return ErrCredentials
	case status/100 == 3:
		return fmt.Errorf("redirects are not followed, they would take the secret elsewhere: check %s", setting)
	}
	return fmt.Errorf("the provider refused the request: check %s and the options", setting)
}

// asError makes sure that there is an *Error in what a source returned, so that
// callers meet one type only.
func asError(provider string, err error) error {
	if errors.As(err, new(*Error)) {
		return err
	}
	e := &Error{Provider: provider, Err: err}
	if re, ok := errors.AsType[*oauth2.RetrieveError](err); ok && re.Response != nil {
		e.Status = re.Response.StatusCode
		e.Code, e.Description = exchange.Line(re.ErrorCode), exchange.Line(re.ErrorDescription)
		e.RetryAfter = exchange.RetryAfter(re.Response.Header, time.Now())
		e.Err = &opaqueError{refusal(e.Status, e.Code, e.Temporary(), "the URL"), err}
	}
	return e
}

// opaqueError has the identity of a hidden error, but shows nothing of it: the
// text of x/oauth2's quotes the response's body.
type opaqueError struct{ shown, hidden error }

func (e *opaqueError) Error() string              { return e.shown.Error() }
func (e *opaqueError) Format(s fmt.State, _ rune) { io.WriteString(s, e.Error()) }
func (e *opaqueError) Unwrap() error              { return e.shown }
func (e *opaqueError) Is(target error) bool       { return errors.Is(e.hidden, target) }
