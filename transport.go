package tokensource

// The Transport knows HTTP requests: which of them may carry the token, and
// what to do when the API rejects it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// What is read of a response that nobody will see, so that its connection can
// be used again.
const (
	drainBytes = 4 << 10
	drainTime  = 100 * time.Millisecond
)

// Transport is an [http.RoundTripper] that adds a token to requests.
//
// It keeps an Authorization header that the caller set. It sends the token by
// https only (plain http to loopback hosts, [ErrInsecure] else) and to Origins
// only; a request to elsewhere goes out without one, and so does all that
// follows it in a redirect chain. On a 401 it invalidates the token it sent
// and, where the body can be sent again, tries once more with another.
//
// It waits for a token no longer than the request's context allows. The
// response's Request is the caller's own, without the token.
type Transport struct {
	Source oauth2.TokenSource // required; a [Cache] as a rule
	Base   http.RoundTripper  // default http.DefaultTransport

	// Origins, as scheme://host[:port], may receive the token. Default: the
	// provider's with [NewClient], else the redirect chain's first origin.
	Origins []string

	NoRetry bool // return a 401 as it is; its token is invalidated all the same
}

// RoundTrip implements [http.RoundTripper]. Where there is no token its error
// is an [*Error].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || req.Header["Authorization"] != nil {
		return t.base().RoundTrip(req)
	}
	allowed, err := t.allowed(req)
	if err == nil && !allowed {
		return t.base().RoundTrip(req)
	}
	if err == nil && !secure(req.URL) {
		err = ErrInsecure
	}
	if err != nil {
		closeBody(req)
		return nil, &Error{Err: err}
	}
	tok, authorization, err := t.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, req.Body, authorization)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if t.invalidate(tok); t.NoRetry {
		return resp, nil
	}
	return t.retry(req, resp, tok)
}

func (t *Transport) invalidate(rejected *oauth2.Token) {
	if s, ok := t.Source.(interface{ Invalidate(*oauth2.Token) }); ok {
		s.Invalidate(rejected)
	}
}

// retry makes the second attempt after a 401. Where there is none to be made,
// the 401 stands.
func (t *Transport) retry(req *http.Request, unauthorized *http.Response, rejected *oauth2.Token) (*http.Response, error) {
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return unauthorized, nil
		}
		var err error
		if body, err = req.GetBody(); err != nil {
			return unauthorized, nil
		}
	}
	tok, authorization, err := t.token(req.Context())
	if err != nil || tok.AccessToken == rejected.AccessToken {
		if body != nil {
			body.Close()
		}
		return unauthorized, nil
	}
	drop(unauthorized)
	return t.send(req, body, authorization)
}

// token returns the source's token and the Authorization header's value.
func (t *Transport) token(ctx context.Context) (*oauth2.Token, []string, error) {
	if t.Source == nil {
		return nil, nil, &Error{Err: errors.New("Transport.Source is not set")}
	}
	if c, ok := t.Source.(*Cache); ok {
		s, err := c.get(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &s.token, s.authorization, nil
	}
	tok, err := t.ask(ctx)
	if err == nil && tok == nil {
		err = errNoToken
	}
	if err != nil {
		return nil, nil, asError("", err)
	}
	return tok, []string{tok.Type() + " " + tok.AccessToken}, nil
}

// ask leaves a source that takes no context when ctx ends.
func (t *Transport) ask(ctx context.Context) (*oauth2.Token, error) {
	if _, ok := t.Source.(ContextTokenSource); ok || ctx.Done() == nil {
		return sourceToken(ctx, t.Source)
	}
	select {
	case r := <-guard(t.Source.Token):
		return r.val, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the request's context ended before there was a token: %w", ctx.Err())
	}
}

// send gives Base a request of its own: the caller's stays as it is.
func (t *Transport) send(req *http.Request, body io.ReadCloser, authorization []string) (*http.Response, error) {
	out := new(http.Request)
	*out = *req
	out.Body = body
	if out.Header = req.Header.Clone(); out.Header == nil {
		out.Header = make(http.Header, 1)
	}
	out.Header["Authorization"] = authorization[:1:1]
	resp, err := t.base().RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// allowed reports whether every request of the redirect chain went to an
// origin that may have the token.
func (t *Transport) allowed(req *http.Request) (bool, error) {
	for _, origin := range t.Origins {
		if scheme, host, _ := strings.Cut(origin, "://"); scheme == "" || host == "" || strings.ContainsAny(host, "/?#@*") {
			return false, fmt.Errorf("Origins: %q is not of the form scheme://host[:port]", origin)
		}
	}
	for hop := req; hop != nil; {
		var previous *http.Request
		if hop.Response != nil {
			previous = hop.Response.Request
		}
		ok := previous == nil || sameOrigin(hop.URL, previous.URL.Scheme, previous.URL.Host)
		if len(t.Origins) > 0 {
			ok = slices.ContainsFunc(t.Origins, func(origin string) bool {
				scheme, host, _ := strings.Cut(origin, "://")
				return sameOrigin(hop.URL, scheme, host)
			})
		}
		if !ok {
			return false, nil
		}
		hop = previous
	}
	return true, nil
}

func sameOrigin(u *url.URL, scheme, host string) bool {
	port := ":443"
	if strings.EqualFold(scheme, "http") {
		port = ":80"
	}
	return strings.EqualFold(u.Scheme, scheme) &&
		strings.EqualFold(strings.TrimSuffix(u.Host, port), strings.TrimSuffix(host, port))
}

// CloseIdleConnections closes Base's, as http.Client.CloseIdleConnections
// expects.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// drop reads the rest of a response, within bounds, and closes it.
func drop(resp *http.Response) {
	if resp.ContentLength <= drainBytes {
		slow := time.AfterFunc(drainTime, func() { resp.Body.Close() })
		defer slow.Stop()
		io.CopyN(io.Discard, resp.Body, drainBytes)
	}
	resp.Body.Close()
}
