package tokensource

// The one token-endpoint round trip that the providers share. A provider says
// where to and with what; everything about secrets, faults and lifetimes is
// here, once.

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const (
	requestTimeout = 15 * time.Second // where the HTTP client sets none
	maxAnswer      = 1 << 20          // bytes; the documented answers are under 2 KiB
)

// provider is a source of this package, to exchange, Cache and NewClient.
type provider interface {
	name() string // in errors and events
	request() *tokenRequest
}

// tokenRequest is one POST to a token endpoint, as a provider describes it.
type tokenRequest struct {
	provider             string // its name
	credentials          Credentials
	client               *http.Client
	base, path           string
	header               http.Header    // besides the usual
	json                 bool           // the body, else it is a form
	fields               map[string]any // of the body
	idField, secretField string         // of the body, for the credentials; none: HTTP Basic
	lifetime             time.Duration  // the documented one, where the answer has none
	singleUse            bool           // see Flinks
	inherited            map[string]any // fields of an earlier token, where the answer has none
	mistake              error          // in the provider's configuration

	// set by prepare
	url     *url.URL
	body    []byte
	secrets []string // must not show in an error
}

// prepare completes r with the credentials of this moment.
func (r *tokenRequest) prepare(ctx context.Context) (err error) {
	if r.url, err = r.endpoint(); err != nil {
		return err
	}
	id, secret, err := r.credentials.pair(ctx)
	if err != nil {
		return err
	}
	basic := base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
	r.secrets = []string{strings.TrimRight(basic, "="), secret, id}
	if r.header == nil {
		r.header = http.Header{}
	}
	switch {
	case r.idField != "":
		r.fields[r.idField], r.fields[r.secretField] = id, secret
	case strings.Contains(id, ":"):
		return fmt.Errorf("%w: the id contains a colon, which HTTP Basic cannot carry", ErrCredentials)
	default:
		// The pair as it is: RFC 6749 would have it URL-escaped first and
		// x/oauth2 does so, these providers do not expect it.
		r.header.Set("Authorization", "Basic "+basic)
	}
	r.header.Set("Accept", "application/json")
	if r.json {
		r.header.Set("Content-Type", "application/json")
		r.body, err = json.Marshal(r.fields)
		return err
	}
	form := url.Values{}
	for name, v := range r.fields {
		form.Set(name, fmt.Sprint(v))
	}
	r.header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.body = []byte(form.Encode())
	return nil
}

// endpoint joins the configured base and the path. It refuses what would send
// the secret in clear or hide one in the configuration.
func (r *tokenRequest) endpoint() (*url.URL, error) {
	base := r.base
	if !strings.Contains(base, "://") {
		base = "https://" + base
	}
	u, err := url.Parse(base)
	switch {
	case r.mistake != nil:
		return nil, r.mistake
	case r.base == "":
		return nil, errors.New("BaseURL is not set: the provider names it at onboarding")
	case err != nil || u.Hostname() == "":
		return nil, errors.New("BaseURL is not a URL: write https://host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("BaseURL must be scheme, host and path only: credentials go into Credentials")
	case !secure(u):
		return nil, fmt.Errorf("BaseURL: %w", ErrInsecure)
	}
	return u.JoinPath(r.path), nil
}

// secure reports whether a secret may be sent to u: by https, or within this
// machine.
func secure(u *url.URL) bool {
	if u.Scheme != "http" {
		return u.Scheme == "https"
	}
	return strings.EqualFold(u.Hostname(), "localhost") || net.ParseIP(u.Hostname()).IsLoopback()
}

// identity is all that decides what the token may do: whoever sends the same
// request may have the same token.
func (r *tokenRequest) identity() []byte {
	b, _ := json.Marshal([]any{r.provider, r.url.String(), r.header, r.body}) // strings and bytes: no error
	return b
}

var fingerprintSeed = maphash.MakeSeed()

func (r *tokenRequest) fingerprint() uint64 { return maphash.Bytes(fingerprintSeed, r.identity()) }

// send does the round trip. Its error is always an *Error.
func (r *tokenRequest) send(ctx context.Context) (*oauth2.Token, error) {
	e := &Error{Provider: r.provider}
	var tok *oauth2.Token
	err := r.prepare(ctx)
	if err == nil {
		e.fingerprint = r.fingerprint()
		tok, err = r.roundTrip(ctx, e)
	}
	if err == nil {
		return tok, nil
	}
	e.Code, e.Description = printable(r.redact(e.Code)), printable(r.redact(e.Description))
	if e.Err = err; r.redact(err.Error()) != err.Error() {
		e.Err = &rewordedError{r.redact(err.Error()), err}
	}
	return nil, e
}

// roundTrip also notes in e what the answer says of a failure.
func (r *tokenRequest) roundTrip(ctx context.Context, e *Error) (*oauth2.Token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header = r.header
	// The lifetime counts from here: on the way back it is already running.
	issued := time.Now().Round(0)
	resp, err := r.httpClient(ctx).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	fields, err := parseAnswer(body)
	e.Status = resp.StatusCode
	e.Code = text(fields, "error", "errorCode")
	e.Description = text(fields, "error_description", "errorSummary", "message")
	switch {
	case resp.StatusCode/100 != 2:
		e.RetryAfter = retryAfter(resp.Header, issued)
		return nil, errorOfStatus(resp.StatusCode, e.Code)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d bytes: check BaseURL", maxAnswer)
	case readErr != nil:
		return nil, fmt.Errorf("the answer was cut off: %w", readErr)
	case err != nil:
		return nil, err
	}
	tok, err := r.token(fields, resp.Header, issued)
	if err != nil && e.Code != "" { // a refusal after all
		err = errorOfStatus(resp.StatusCode, e.Code)
	}
	return tok, err
}

// httpClient returns a copy of the configured client that follows no redirect
// and does not wait for ever.
func (r *tokenRequest) httpClient(ctx context.Context) *http.Client {
	c := http.Client{}
	if r.client != nil {
		c = *r.client
	} else if own, ok := ctx.Value(oauth2.HTTPClient).(*http.Client); ok && own != nil {
		c = *own
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Timeout == 0 {
		c.Timeout = requestTimeout
	}
	return &c
}

// redact removes the request's own secrets from a text that came back, in the
// forms in which such texts quote. Shorter ones than 6 bytes are no secrets,
// but parts of ordinary words.
func (r *tokenRequest) redact(s string) string {
	for _, secret := range r.secrets {
		if len(secret) < 6 {
			continue
		}
		quoted := strconv.Quote(secret)
		inJSON, _ := json.Marshal(secret)
		for _, form := range []string{
			secret, quoted[1 : len(quoted)-1], string(inJSON[1 : len(inJSON)-1]), url.QueryEscape(secret), url.PathEscape(secret),
		} {
			s = strings.ReplaceAll(s, form, "[redacted]")
		}
	}
	return s
}

// rewordedError prints another text than the error it wraps.
type rewordedError struct {
	text string
	err  error
}

func (e *rewordedError) Error() string { return e.text }
func (e *rewordedError) Unwrap() error { return e.err }
