package tokensource

// The Transport knows HTTP requests: which of them may carry the token, and
// what to do when the API rejects it.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
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

	once      sync.Once // parses Origins
	origins   []*url.URL
	malformed error
}

// RoundTrip implements [http.RoundTripper]. Where there is no token its error
// is an [*Error].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || hasAuthorization(req.Header) || isTokenRequest(req.Context()) {
		return t.forward(req, req)
	}
	allowed, err := t.allowed(req)
	if err == nil && !allowed {
		return t.forward(req, req)
	}
	if err == nil && !secure(req.URL) {
		err = ErrInsecure
	}
	var s *snapshot
	if err == nil {
		s, err = t.token(req.Context())
	}
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, asError("", err)
	}
	resp, err := t.send(req, req.Body, s)
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if c, ok := t.Source.(interface{ Invalidate(*oauth2.Token) }); ok {
		c.Invalidate(&s.token)
	}
	if t.NoRetry {
		return resp, nil
	}
	return t.retry(req, resp, s)
}

// retry makes the second attempt after a 401. Where there is none to be made,
// the 401 stands.
func (t *Transport) retry(req *http.Request, unauthorized *http.Response, rejected *snapshot) (*http.Response, error) {
	body := req.Body
	if body != nil && body != http.NoBody {
		var err error
		if req.GetBody == nil {
			return unauthorized, nil
		}
		if body, err = req.GetBody(); err != nil {
			return unauthorized, nil
		}
	}
	s, err := t.token(req.Context())
	if err != nil || s.token.AccessToken == rejected.token.AccessToken {
		if body != nil {
			body.Close()
		}
		return unauthorized, nil
	}
	drop(unauthorized)
	return t.send(req, body, s)
}

// token returns the source's token with the Authorization header's value.
func (t *Transport) token(ctx context.Context) (*snapshot, error) {
	if c, ok := t.Source.(*Cache); ok {
		return c.get(ctx)
	}
	// A source of somebody else may hang or panic; the request must not.
	tok, err := await(ctx, func() (*oauth2.Token, error) { return sourceToken(ctx, t.Source, nil) })
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("the request's context ended before there was a token: %w", ctx.Err())
	case err != nil:
		return nil, err
	}
	return newSnapshot(tok), nil
}

// send gives Base a request of its own: the caller's stays as it is.
func (t *Transport) send(req *http.Request, body io.ReadCloser, s *snapshot) (*http.Response, error) {
	out := new(http.Request)
	*out = *req
	out.Body = body
	// The values stay the caller's: nobody may write into them, Base neither.
	if out.Header = maps.Clone(req.Header); out.Header == nil {
		out.Header = make(http.Header, 1)
	}
	out.Header["Authorization"] = s.authorization[:]
	return t.forward(out, req)
}

// forward gives out to Base. Whatever Base says, the response is to the
// caller's request: the next one of a redirect chain finds by it where the
// chain has been.
func (t *Transport) forward(out, req *http.Request) (*http.Response, error) {
	resp, err := t.base().RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// allowed reports whether every request of the redirect chain went to an
// origin that may have the token.
func (t *Transport) allowed(req *http.Request) (bool, error) {
	if t.once.Do(t.parseOrigins); t.malformed != nil {
		return false, t.malformed
	}
	for hop := req; hop != nil; {
		var previous *http.Request
		if hop.Response != nil {
			previous = hop.Response.Request
		}
		ok := previous == nil || sameOrigin(hop.URL, previous.URL)
		if len(t.origins) > 0 {
			ok = slices.ContainsFunc(t.origins, func(o *url.URL) bool { return sameOrigin(hop.URL, o) })
		}
		if !ok {
			return false, nil
		}
		hop = previous
	}
	return true, nil
}

func (t *Transport) parseOrigins() {
	for i, origin := range t.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" ||
			!strings.HasSuffix(origin, "://"+u.Host) || strings.Contains(u.Host, "*") { // not quoted: there may be a password in it
			t.malformed = fmt.Errorf("entry %d of Origins is not of the form scheme://host[:port]", i)
			return
		}
		t.origins = append(t.origins, u)
	}
}

func sameOrigin(a, b *url.URL) bool {
	port := ":443"
	if strings.EqualFold(a.Scheme, "http") {
		port = ":80"
	}
	return strings.EqualFold(a.Scheme, b.Scheme) &&
		strings.EqualFold(strings.TrimSuffix(a.Host, port), strings.TrimSuffix(b.Host, port))
}

// CloseIdleConnections closes Base's, as http.Client.CloseIdleConnections
// expects.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper { return cmp.Or(t.Base, http.DefaultTransport) }

// hasAuthorization finds the header in lower case too: a caller who sets the map
// directly may have written it as HTTP/2 does.
func hasAuthorization(h http.Header) bool {
	//lint:ignore SA1008 the lower case is the point
	return len(h["Authorization"]) > 0 || len(h["authorization"]) > 0
}

// drop reads the rest of a response, within bounds, and closes it.
func drop(resp *http.Response) {
	if resp.Body == nil { // a stub's
		return
	}
	if resp.ContentLength <= drainBytes {
		slow := time.AfterFunc(drainTime, func() { resp.Body.Close() })
		defer slow.Stop()
		io.CopyN(io.Discard, resp.Body, drainBytes)
	}
	resp.Body.Close()
}
