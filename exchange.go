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
	"math"
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

	// A longer lifetime is taken for a mistake (milliseconds, another field):
	// the longest that any of the providers documents is half an hour.
	maxLifetime = 24 * time.Hour
)

// provider is a source of this package, to exchange, Cache and NewClient.
type provider interface{ request() *tokenRequest }

// tokenRequest is one POST to a token endpoint, as a provider describes it.
type tokenRequest struct {
	provider             string // its name in errors and events
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

// parseAnswer returns the fields of a JSON object, or what the body is instead.
func parseAnswer(body []byte) (map[string]any, error) {
	var raw map[string]json.RawMessage
	err := json.Unmarshal(body, &raw)
	if err == nil && raw != nil {
		fields := make(map[string]any, len(raw))
		for name, value := range raw { // one by one: a number out of range loses itself only
			var v any
			if json.Unmarshal(value, &v) == nil {
				fields[name] = v
			}
		}
		return fields, nil
	}
	shape := "JSON of another kind"
	var syntax *json.SyntaxError
	switch trimmed := bytes.TrimSpace(body); {
	case len(trimmed) == 0:
		shape = "empty"
	case trimmed[0] == '<':
		shape = "an HTML page"
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(body)):
		shape = "JSON that ends too early"
	case syntax != nil:
		shape = "text"
	}
	return nil, fmt.Errorf("the answer is %s, not a JSON object: check BaseURL", shape)
}

// text returns the first of the named fields that is a non-empty string.
func text(fields map[string]any, names ...string) string {
	for _, name := range names {
		if s, _ := fields[name].(string); s != "" {
			return s
		}
	}
	return ""
}

func (r *tokenRequest) token(fields map[string]any, h http.Header, issued time.Time) (*oauth2.Token, error) {
	access, ok := fields["access_token"].(string)
	typ, _ := fields["token_type"].(string)
	switch {
	case !ok && fields["access_token"] != nil:
		return nil, errors.New("access_token in the answer is not a string")
	case access == "":
		return nil, errors.New("the answer has no access_token")
	case strings.ContainsFunc(access, notVisible):
		return nil, errors.New("access_token in the answer has characters that no header can carry")
	case strings.ContainsFunc(typ, notVisible):
		return nil, errors.New("token_type in the answer has characters that no header can carry")
	}
	life := r.lifetimeOf(fields, h, issued)
	tok := &oauth2.Token{AccessToken: access, TokenType: typ, Expiry: issued.Add(life), ExpiresIn: int64(life / time.Second)}
	if r.singleUse {
		tok.Expiry = issued
	}
	// What has a field of its own in oauth2.Token is not kept twice.
	delete(fields, "access_token")
	for k, v := range r.inherited {
		if fields[k] == nil {
			fields[k] = v
		}
	}
	return tok.WithExtra(fields), nil
}

func notVisible(c rune) bool { return c <= ' ' || c > '~' }

// lifetimeOf reads expires_in or expired_on; what is missing, unreadable or
// absurd gives the documented lifetime, so that no token is lost over it.
func (r *tokenRequest) lifetimeOf(fields map[string]any, h http.Header, issued time.Time) time.Duration {
	if life := parseSeconds(fields["expires_in"]); life > 0 {
		return life
	}
	on, err := time.Parse(time.RFC3339, text(fields, "expired_on"))
	if err != nil {
		return r.lifetime
	}
	// Both times are by the server's clock: ours may be wrong.
	date, err := http.ParseTime(h.Get("Date"))
	life := on.Sub(date)
	if err != nil {
		life = min(on.Sub(issued), r.lifetime)
	}
	if life <= 0 || life > maxLifetime {
		return r.lifetime
	}
	return life
}

// parseSeconds reads a number of seconds as providers write it: 3600, 3600.0,
// 1e3, "3600". It returns 0 for anything else, and for what is not within
// (0, maxLifetime].
func parseSeconds(v any) time.Duration {
	seconds, _ := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if !(seconds > 0 && seconds <= maxLifetime.Seconds()) { // NaN too
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// retryAfter reads the header in both its forms; a date counts from the
// answer's own Date, else from now. It returns 0 for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}

// redact removes the request's own secrets from a text that came back, in the
// forms in which such texts quote. Shorter ones than 6 bytes are no secrets,
// but parts of ordinary words.
func (r *tokenRequest) redact(s string) string {
	for _, secret := range r.secrets {
		if len(secret) < 6 {
			continue
		}
		inJSON, _ := json.Marshal(secret)
		for _, form := range []string{
			secret, strings.Trim(strconv.Quote(secret), `"`), strings.Trim(string(inJSON), `"`), url.QueryEscape(secret), url.PathEscape(secret),
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
