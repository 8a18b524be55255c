package tokensource

// The Transport knows HTTP requests: which of them may carry the token, and
// what to do when the API rejects it. Which origins may is in origin.go.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/origin"
)

// What is read of a response that no caller will see, so that its connection
// can be used again.
const (
	drainBytes = 4 << 10
	drainTime  = 100 * time.Millisecond
)

// Transport is an [http.RoundTripper] that adds a token to requests.
//
// It sends the token by https only (plain http to loopback hosts, [ErrInsecure]
// else) and to Origins only: the first request of a redirect chain fails with
// [ErrOrigin] if it goes elsewhere; a later one goes on without the token, and
// so does all that follows it. On a 401 the Transport invalidates the token it
// sent and, if the body can be sent again, tries once more with another.
//
// It keeps an Authorization header that the caller set, unless that carries a
// token of the Transport's own Cache: then the header is treated as if the
// Transport had set it. So a layer above that caches the Cache's tokens
// (oauth2.NewClient, for one) survives a revocation.
//
// It waits for a token no longer than the request's context allows. The
// response's Request is the caller's own, without the token. A request for a
// token passes untouched.
type Transport struct {
	Source oauth2.TokenSource // required; a [Cache] as a rule
	Base   http.RoundTripper  // default http.DefaultTransport

	// Origins, as scheme://host[:port], may receive the token. Default: the
	// origin of the Source's [Provider], with or without a Cache around it;
	// for any other Source, the first origin of a redirect chain.
	Origins []string

	NoRetry bool // return a 401 as it is; its token is invalidated all the same

	once    sync.Once // sets origins
	origins origins
}

// RoundTrip implements [http.RoundTripper]. Without a token its error is an
// [*Error].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || isTokenRequest(req.Context()) {
		return t.base().RoundTrip(req)
	}
	out, set := prepare(req, req.Body)
	if len(set) > 0 && !t.isOwn(set) {
		return t.send(out, req)
	}
	s, err := t.tokenFor(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, asError(t.provider(), err)
	}
	out.authorize(s)
	resp, err := t.send(out, req)
	if s == nil || err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
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

// tokenFor returns the token for a request, nil if that may not have it.
func (t *Transport) tokenFor(req *http.Request) (*snapshot, error) {
	t.once.Do(t.setOrigins)
	attach, err := t.origins.allow(req)
	switch {
	case err != nil || !attach:
		return nil, err
	case !origin.Secure(req.URL):
		return nil, ErrInsecure
	}
	return t.token(req.Context())
}

// retry makes the second attempt after a 401. If there is none to be made, the
// 401 stands.
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
	out, _ := prepare(req, body)
	out.authorize(s)
	return t.send(out, req)
}

// token returns the source's token with the Authorization header's value.
func (t *Transport) token(ctx context.Context) (*snapshot, error) {
	if c, ok := t.Source.(*Cache); ok {
		return c.get(ctx)
	}
	// Another source may hang or panic; the request must not.
	tok, err := guard.Await(ctx, func() (*oauth2.Token, error) {
		return sourceToken(markTokenRequest(ctx), t.Source, nil)
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("the request's context ended before there was a token: %w", ctx.Err())
	case err != nil:
		return nil, err
	}
	return copyToken(tok), nil
}

// outgoing is what one attempt needs, in one allocation.
type outgoing struct {
	req    http.Request
	resp   http.Response
	values [3]string // of the header, Authorization's first
	set    bool      // Authorization, by the caller
}

// prepare copies a request with its header, all of it: a Base that breaks the
// contract shall harm this attempt only. set is what the caller set of
// Authorization.
func prepare(req *http.Request, body io.ReadCloser) (out *outgoing, set []string) {
	out = &outgoing{req: *req}
	out.req.Body = body
	header := make(http.Header, len(req.Header)+1)
	values := out.values[1:1]
	if len(req.Header) >= len(out.values) {
		values = make([]string, 0, len(req.Header))
	}
	for name, vs := range req.Header {
		if isAuthorization(name) {
			set, out.set = append(set, vs...), true
		}
		if vs != nil {
			start := len(values)
			values = append(values, vs...)
			vs = values[start:len(values):len(values)]
		}
		header[name] = vs
	}
	out.req.Header = header
	return out, set
}

// authorize puts the token's Authorization in the place of any other; nil is no
// token.
func (o *outgoing) authorize(s *snapshot) {
	if o.set {
		maps.DeleteFunc(o.req.Header, func(name string, _ []string) bool { return isAuthorization(name) })
	}
	if s != nil {
		o.values[0] = s.authorization
		o.req.Header["Authorization"] = o.values[:1:1]
	}
}

// send makes one attempt. Its response is one to the caller's request, by which
// the next request of a redirect chain finds where the chain has been.
func (t *Transport) send(out *outgoing, req *http.Request) (*http.Response, error) {
	resp, err := t.base().RoundTrip(&out.req)
	switch {
	case resp == nil:
		return nil, err
	case resp.Request == &out.req: // made for this attempt
		resp.Request = req
		return resp, err
	}
	// Base may share it with other attempts.
	out.resp = *resp
	out.resp.Request = req
	if _, upgraded := resp.Body.(io.Writer); resp.Request != nil && resp.Trailer == nil && !upgraded {
		out.resp.Body = &trailing{resp.Body, resp, &out.resp}
	}
	return &out.resp, err
}

// trailing is the body of a copied response: net/http adds trailers that were
// not announced to the original, at the body's end.
type trailing struct {
	io.ReadCloser
	from, to *http.Response
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.to.Trailer = b.from.Trailer
	}
	return n, err
}

// isOwn reports whether an Authorization header is one that this Transport could
// have set.
func (t *Transport) isOwn(values []string) bool {
	c, ok := t.Source.(*Cache)
	_, token, _ := strings.Cut(values[0], " ")
	return ok && len(values) == 1 && token != "" && c.handedOut(token)
}

// isAuthorization finds the header in any spelling: the wire knows no case, and
// a caller may have set the map directly.
func isAuthorization(name string) bool {
	return len(name) == len("Authorization") && strings.EqualFold(name, "Authorization")
}

func (t *Transport) provider() string {
	if e := t.endpoint(); e != nil {
		return e.name()
	}
	return ""
}

// endpoint is the Source's, nil if it does not say.
func (t *Transport) endpoint() *Endpoint {
	if c, ok := t.Source.(*Cache); ok {
		return endpointOf(c.Source)
	}
	return endpointOf(t.Source)
}

// CloseIdleConnections closes Base's, as http.Client.CloseIdleConnections
// expects.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

// netTransport is net/http's own, whatever is put into http.DefaultTransport
// later.
var netTransport = http.DefaultTransport

func (t *Transport) base() http.RoundTripper {
	b := cmp.Or(t.Base, http.DefaultTransport)
	if b == http.RoundTripper(t) {
		return netTransport
	}
	return b
}

// drop reads the rest of a response, within bounds, and closes it. The body may
// be of a kind whose Close waits for its Read.
func drop(resp *http.Response) {
	if resp.Body == nil { // a stub's
		return
	}
	ctx, cancel := context.WithTimeout(background, drainTime)
	defer cancel()
	if resp.ContentLength <= drainBytes {
		guard.Await(ctx, func() (int64, error) { return io.CopyN(io.Discard, resp.Body, drainBytes) })
	}
	ctx, cancel = context.WithTimeout(background, drainTime)
	defer cancel()
	guard.Await(ctx, func() (any, error) { return nil, resp.Body.Close() })
}
