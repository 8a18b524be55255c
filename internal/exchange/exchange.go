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
	"slices"
	"strconv"
	"time"

	"golang.org/x/oauth2"
)

const (
	requestTimeout = 15 * time.Second // if the HTTP client has none
	maxAnswer      = 1 << 20          // bytes; the documented answers are under 2 KiB
	maxQuoted      = 16 << 10         // to look for the secrets in a longer one takes seconds
)

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
	resp, err := client.Do(r.build(w.watch(ctx)))
	if err != nil {
		return nil, r.failed(ctx, w, "Post "+strconv.Quote(r.URL.String()), err)
	}
	defer resp.Body.Close()
	if from := resp.Request; from != nil && from.URL != nil && from.URL.String() != r.URL.String() {
		return nil, &Fault{Status: resp.StatusCode, Err: errors.New(
			"the answer came from another URL than the one asked: use an HTTPClient that does not follow redirects, and rotate the secret if it went to a stranger")}
	}
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := parse(body)
	tok, fault := r.token(a, resp, issued)
	if resp.StatusCode/100 == 2 {
		switch {
		case len(body) > maxAnswer:
			fault = &Fault{Temporary: true, Err: fmt.Errorf("the answer is larger than %d bytes: check %s", maxAnswer, r.Setting)}
		case readErr != nil:
			w.answered.Store(true)
			fault = r.failed(ctx, w, "the answer was cut off", readErr)
		}
	}
	if fault == nil {
		return tok, nil
	}
	fault.Status, fault.Code = resp.StatusCode, r.known(a.code())
	if len(body) <= maxQuoted {
		secrets := newSecrets(append(a.tokens(), r.Secrets...))
		fault.Code = cmp.Or(fault.Code, secrets.redact(a.code()))
		fault.Description = secrets.redact(a.text("error_description", "errorSummary", "message", "Message"))
	}
	return nil, fault
}

// known returns the code if it is one that providers document: it may share
// letters with an id such as "client" without giving it away.
func (r *Request) known(code string) string {
	if slices.Contains(r.RetryCodes, code) || documentedCode.MatchString(code) {
		return code
	}
	return ""
}

func (r *Request) build(ctx context.Context) *http.Request {
	header := r.Header.Clone()
	// net/http repeats a POST whose kept-alive connection turns out to be dead
	// if it has this entry. One without a value is not sent.
	if _, ok := header["Idempotency-Key"]; !ok {
		header["Idempotency-Key"] = nil
	}
	req := &http.Request{
		Method: http.MethodPost, URL: r.URL, Host: r.URL.Host, Header: header, ContentLength: int64(len(r.Body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil },
	}
	req.Body, _ = req.GetBody()
	return req.WithContext(ctx)
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
	base := cmp.Or(c.Transport, http.DefaultTransport)
	if t, ok := base.(*http.Transport); ok && r.URL.Scheme == "http" && t.Proxy != nil {
		// Plain http is for loopback only: a proxy would read the secret.
		if proxy, err := t.Proxy(&http.Request{Method: http.MethodPost, URL: r.URL, Header: http.Header{}}); proxy != nil || err != nil {
			direct := t.Clone()
			direct.Proxy, direct.DisableKeepAlives = nil, true // the clone serves this request only
			base = direct
		}
	}
	c.Transport = oneHop{base}
	return &c
}

// oneHop makes every answer the last one: without a Location http.Client has
// nothing to follow, and nothing to quote if it is malformed.
type oneHop struct{ base http.RoundTripper }

func (t oneHop) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if resp != nil && len(resp.Header["Location"]) > 0 {
		own := *resp
		own.Header = resp.Header.Clone()
		own.Header.Del("Location")
		resp = &own
	}
	return resp, err
}
