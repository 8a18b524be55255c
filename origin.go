package tokensource

// Which origins may have the token. They are compared as net/http dials them.

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tokensource-go/tokensource/internal/origin"
)

// origins are those that may have the token; none are configured if it is empty:
// then the first one of a redirect chain may.
type origins struct {
	allowed []origin.Origin
	spelled []*url.URL // the same as they are configured, which are quicker to compare
	err     error
}

func (o *origins) add(u *url.URL) {
	o.allowed, o.spelled = append(o.allowed, origin.Of(u)), append(o.spelled, u)
}

// setOrigins works the origins out of the configuration.
func (t *Transport) setOrigins() {
	for i, text := range t.Origins {
		u, err := origin.Parse(text)
		if err == nil && !origin.Secure(u) {
			err = ErrInsecure
		}
		if err != nil {
			if strings.ContainsAny(text, "@?#") { // there may be a password in it
				text = "not shown"
			}
			t.origins.err = fmt.Errorf("entry %d of Origins (%q): %w", i, text, err)
			return
		}
		t.origins.add(u)
	}
	if e := t.endpoint(); e != nil && len(t.Origins) == 0 {
		if u, err := e.location(); err == nil { // else there is no token either
			t.origins.add(u)
		}
	}
}

// maxHops bounds the look at a redirect chain: one that is longer may be its own
// predecessor.
const maxHops = 100

// allow reports whether the token is attached to a request: to the first of a
// chain, or to one of a chain that has never left the allowed origins.
func (o *origins) allow(req *http.Request) (bool, error) {
	first, allowed := req.Response == nil, o.allowed
	if o.err != nil || first && len(allowed) == 0 {
		return o.err == nil, o.err
	}
	if first && slices.ContainsFunc(o.spelled, func(u *url.URL) bool {
		return u.Scheme == req.URL.Scheme && u.Host == req.URL.Host
	}) {
		return true, nil
	}
	at := origin.Of(req.URL)
	if first && at != (origin.Origin{}) && slices.Contains(allowed, at) {
		return true, nil
	}
	if first {
		err := fmt.Errorf("%w: %s is not among %s; if it may, name all that may in the Transport's Origins", ErrOrigin, at, allowed)
		if !origin.Secure(req.URL) {
			err = fmt.Errorf("%w: %w", err, ErrInsecure)
		}
		return false, err
	}
	if len(allowed) == 0 {
		allowed = []origin.Origin{at}
	}
	hop := req
	for range maxHops {
		if hop == nil || hop.URL == nil {
			break
		}
		if o := origin.Of(hop.URL); o == (origin.Origin{}) || !slices.Contains(allowed, o) {
			break
		}
		if hop.Response == nil {
			return true, nil
		}
		hop = hop.Response.Request
	}
	return false, nil // it has left them, or cannot be seen
}
