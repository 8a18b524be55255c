// Package exchange is the round trip to a token endpoint: one POST that trades
// credentials for a token. It knows no providers. A [Request] says where to and
// with what; a [Fault] says what went wrong, in words that hold no secret.
package exchange

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/guard"
)

const (
	requestTimeout = 15 * time.Second // if the HTTP client has none
	maxAnswer      = 1 << 20          // bytes; the documented answers are under 2 KiB
	maxQuoted      = 16 << 10         // to look for the secrets in a longer one takes seconds
)

// documentedCode matches error codes of RFC 6749, 7009, 8628 and 8707, of Okta
// and of Flinks.
var documentedCode = regexp.MustCompile(`^(E\d{7}` +
	`|invalid_(request|client|grant|scope|token|target)|unauthorized_client|unsupported_(grant|response|token)_type` +
	`|access_denied|server_error|temporarily_unavailable|authorization_pending|slow_down|expired_token|insufficient_scope` +
	`|TOO_MANY_REQUESTS|RETRY_LATER|UNAUTHORIZED|INVALID_(LOGIN|USERNAME|PASSWORD|REQUEST)|UNKNOWN_ERROR)$`)

// Request is one POST to a token endpoint.
type Request struct {
	URL    *url.URL
	Header http.Header
	Body   []byte

	Lifetime   time.Duration  // the documented one; 0 if there is none
	SingleUse  bool           // the token's Expiry is its issue time
	RetryCodes []string       // error codes that mean "try again later"
	Inherited  map[string]any // fields of an earlier token, for those that the answer lacks

	Secrets []string // must not show in a Fault
	Setting string   // the field that URL was made from, for the advice in a Fault
	Client  *http.Client
}

// Fault is why there is no token. Its texts are one line without secrets.
type Fault struct {
	Status            int // 0 without an answer
	Code, Description string
	RetryAfter        time.Duration
	Temporary         bool  // the same request may succeed later
	Err               error // nil if the endpoint refused, which Status and Code explain
}

// Do makes the request. Redirects are not followed: a 307 would post the secret
// elsewhere.
func (r *Request) Do(ctx context.Context) (*oauth2.Token, *Fault) {
	client := r.client(ctx)
	limit := cmp.Or(client.Timeout, requestTimeout)
	client.Timeout = 0 // the context has it, with a text of its own
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	w := &wire{}
	// The lifetime counts from here: on the way back it is already running.
	issued := time.Now().Round(0)
	// It may panic, with the request in the text.
	answered := <-guard.Go(func() (*http.Response, error) { return client.Do(r.build(w.watch(ctx))) })
	resp, err := answered.Val, answered.Err
	if err != nil {
		return nil, r.failed(ctx, w, "Post "+strconv.Quote(r.URL.String()), err)
	}
	defer resp.Body.Close()
	if from := resp.Request; from != nil && from.URL != nil && from.URL.String() != r.URL.String() {
		return nil, &Fault{Status: resp.StatusCode, Err: errors.New(
			"the answer came from another URL than the one asked: use an HTTPClient that does not follow redirects, and rotate the secret if it went to a stranger")}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := parse(body)
	tok, fault := r.token(a, resp, issued)
	if err != nil && resp.StatusCode/100 == 2 {
		w.answered.Store(true)
		fault = r.failed(ctx, w, "the answer was cut off", err)
	}
	if fault == nil {
		return tok, nil
	}
	fault.Status = resp.StatusCode
	if code := a.code(); documentedCode.MatchString(code) || slices.Contains(r.RetryCodes, code) {
		fault.Code = code // it may share letters with an id such as "client" without giving it away
	}
	if len(body) <= maxQuoted {
		s := newSecrets(append(slices.DeleteFunc(namedSecret(a.fields, false), sentence), r.Secrets...))
		fault.Code = cmp.Or(fault.Code, s.redact(a.code()))
		fault.Description = s.redact(a.text("error_description", "errorSummary", "message", "Message"))
	}
	return nil, fault
}

func (r *Request) build(ctx context.Context) *http.Request {
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(r.Body)) // fails for a URL only
	req.URL, req.Host, req.Header = r.URL, r.URL.Host, r.Header.Clone()
	// net/http repeats a POST whose kept-alive connection turns out to be dead
	// if it has this entry. One without a value is not sent.
	if _, ok := req.Header["Idempotency-Key"]; !ok {
		req.Header["Idempotency-Key"] = nil
	}
	return req
}

// client returns a copy of the configured client that follows no redirect and
// asks this machine without a proxy.
func (r *Request) client(ctx context.Context) *http.Client {
	c := http.Client{}
	if r.Client != nil {
		c = *r.Client
	} else if own, ok := ctx.Value(oauth2.HTTPClient).(*http.Client); ok && own != nil {
		c = *own
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t, ok := cmp.Or(c.Transport, http.DefaultTransport).(*http.Transport)
	if ok && r.URL.Scheme == "http" && t.Proxy != nil {
		// Plain http is for loopback only: a proxy would read the secret.
		if proxy, err := t.Proxy(&http.Request{Method: http.MethodPost, URL: r.URL, Header: http.Header{}}); proxy != nil || err != nil {
			direct := t.Clone()
			direct.Proxy, direct.DisableKeepAlives = nil, true // the clone serves this request only
			c.Transport = direct
		}
	}
	return &c
}
