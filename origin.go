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

// allow reports whether the token is attached to a request: to the first of a
// chain, or to one of a chain that has never left the allowed origins.
func (o *origins) allow(req *http.Request) (bool, error) {
	switch {
	case o.err != nil:
		return false, o.err
	case req.Response != nil:
		return o.neverLeft(req), nil
	}
	err := o.allowFirst(req.URL)
	return err == nil, err
}

// allowFirst says why the first request of a chain must not be sent.
func (o *origins) allowFirst(to *url.URL) error {
	asConfigured := func(u *url.URL) bool { return u.Scheme == to.Scheme && u.Host == to.Host }
	if len(o.allowed) == 0 || slices.ContainsFunc(o.spelled, asConfigured) {
		return nil
	}
	at := origin.Of(to)
	if o.has(at) {
		return nil
	}
	err := fmt.Errorf("%w: %s is not among %s; if it may, name all that may in the Transport's Origins", ErrOrigin, at, o.allowed)
	if !origin.Secure(to) {
		err = fmt.Errorf("%w: %w", err, ErrInsecure)
	}
	return err
}

func (o *origins) has(at origin.Origin) bool {
	return at != (origin.Origin{}) && slices.Contains(o.allowed, at)
}

// maxHops bounds the look at a redirect chain, which may be a ring.
const maxHops = 100

// neverLeft reports whether a request and all before it in its chain go to
// allowed origins. It is false if that cannot be seen.
func (o *origins) neverLeft(hop *http.Request) bool {
	if len(o.allowed) == 0 { // then the chain's own origin is
		o = &origins{allowed: []origin.Origin{origin.Of(hop.URL)}}
	}
	for range maxHops {
		if hop == nil || hop.URL == nil || !o.has(origin.Of(hop.URL)) {
			return false
		}
		if hop.Response == nil {
			return true
		}
		hop = hop.Response.Request
	}
	return false
}
