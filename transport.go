package tokensource

// The Transport knows HTTP requests: which of them may carry the token, and
// what to do when the API rejects it. How origins compare is in internal/origin.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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

	once     sync.Once // sets what follows
	origins  origin.Set
	mistake  error // in Origins
	provider string

	copies atomic.Bool // Base's responses have to be copied
}

// RoundTrip implements [http.RoundTripper]. Without a token its error is an
// [*Error].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || isTokenRequest(req.Context()) {
		return t.base().RoundTrip(req)
	}
	out, set := t.prepare(req, req.Body)
	if len(set) > 0 && !t.isOwn(set) { // explicit beats implicit
		out.req.Header = req.Header.Clone()
		return t.send(out, req, nil)
	}
	s, err := t.tokenFor(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, asError(t.provider, err)
	}
	resp, err := t.send(out, req, s)
	if s == nil || err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if c, ok := t.Source.(interface{ Invalidate(*oauth2.Token) }); ok {
		c.Invalidate(&s.token)
	}
	return t.retry(req, resp, s)
}

// tokenFor returns the token for a request, nil if that may not have it.
func (t *Transport) tokenFor(req *http.Request) (*snapshot, error) {
	t.once.Do(t.setUp)
	switch {
	case t.mistake != nil:
		return nil, t.mistake
	case t.origins.Allows(req):
		return t.token(req.Context())
	case req.Response != nil: // a redirect
		return nil, nil
	case !origin.Secure(req.URL):
		return nil, fmt.Errorf("%w: %w", ErrOrigin, ErrInsecure)
	}
	return nil, fmt.Errorf("%w: %s is not among %s; if it may, name all that may in the Transport's Origins",
		ErrOrigin, origin.Of(req.URL), t.origins)
}

// setUp works out what the configuration says.
func (t *Transport) setUp() {
	source := t.Source
	if c, ok := source.(*Cache); ok {
		source = c.Source
	}
	if e := endpointOf(source); e != nil {
		t.provider = e.name()
		if u, err := e.location(); err == nil && len(t.Origins) == 0 { // without a location there is no token
			t.origins = t.origins.With(u)
		}
	}
	for i, text := range t.Origins {
		u, err := origin.Parse(text)
		if err == nil && !origin.Secure(u) {
			err = ErrInsecure
		}
		if err != nil {
			if strings.ContainsAny(text, "@?#") { // there may be a password in it
				text = "not shown"
			}
			t.mistake = fmt.Errorf("entry %d of Origins (%q): %w", i, text, err)
			return
		}
		t.origins = t.origins.With(u)
	}
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
	case err == nil:
		return copyToken(tok), nil
	case ctx.Err() != nil:
		return nil, errLeft(ctx)
	}
	return nil, err
}

// retry makes the second attempt after a 401, if the request can be sent again
// and there is another token. Else the 401 stands.
func (t *Transport) retry(req *http.Request, unauthorized *http.Response, rejected *snapshot) (*http.Response, error) {
	hasBody := req.Body != nil && req.Body != http.NoBody
	if t.NoRetry || hasBody && req.GetBody == nil {
		return unauthorized, nil
	}
	s, err := t.token(req.Context())
	if err != nil || s.token.AccessToken == rejected.token.AccessToken {
		return unauthorized, nil
	}
	body := req.Body
	if hasBody {
		if body, err = req.GetBody(); err != nil {
			return unauthorized, nil
		}
	}
	drop(unauthorized)
	out, _ := t.prepare(req, body)
	return t.send(out, req, s)
}

// outgoing is what one attempt needs, in one allocation.
type outgoing struct {
	req    http.Request
	values [6]string      // of the header, the token's first; six fill the size class
	resp   *http.Response // if it is known to be needed
}

// prepare copies a request with its header, values included: a Base that breaks
// the contract shall harm this attempt only. What the caller set of
// Authorization, in any spelling, is returned instead.
func (t *Transport) prepare(req *http.Request, body io.ReadCloser) (out *outgoing, set []string) {
	if t.copies.Load() {
		both := &struct {
			outgoing
			http.Response
		}{}
		out, both.resp = &both.outgoing, &both.Response
	} else {
		out = &outgoing{}
	}
	out.req = *req
	header := make(http.Header, len(req.Header)+1)
	out.req.Header, out.req.Body = header, body
	values := out.values[1:1]
	for name, vs := range req.Header {
		if strings.EqualFold(name, "Authorization") {
			set = append(set, vs...)
			continue
		}
		if vs != nil {
			start := len(values)
			values = append(values, vs...)
			vs = values[start:len(values):len(values)]
		}
		header[name] = vs
	}
	return out, set
}

// send makes one attempt, with a token if there is one. Its response is one to
// the caller's request, by which the next request of a redirect chain finds
// where the chain has been.
func (t *Transport) send(out *outgoing, req *http.Request, s *snapshot) (*http.Response, error) {
	if s != nil {
		out.values[0] = s.authorization
		out.req.Header["Authorization"] = out.values[:1:1]
	}
	resp, err := t.base().RoundTrip(&out.req)
	if resp == nil {
		return nil, err
	}
	if resp.Request != &out.req { // Base may share it with other attempts
		shared, own := resp, out.resp
		if own == nil {
			t.copies.Store(true)
			own = new(http.Response)
		}
		*own = *shared
		if _, upgraded := shared.Body.(io.Writer); shared.Request != nil && shared.Body != nil && !upgraded {
			own.Body = &trailing{shared.Body, shared, own}
		}
		resp = own
	}
	resp.Request = req
	return resp, err
}

// trailing is the body of a copied response: at its end net/http adds trailers
// that were not announced, to the original.
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
	guard.Await(ctx, func() (int64, error) { return io.CopyN(io.Discard, resp.Body, drainBytes) })
	ctx, cancel = context.WithTimeout(background, drainTime)
	defer cancel()
	guard.Await(ctx, func() (any, error) { return nil, resp.Body.Close() })
}
