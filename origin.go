package tokensource

// Which origins may have the token. They are compared as net/http dials them.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// origins are those that may have the token; none are configured if it is empty:
// then the first one of a redirect chain may.
type origins struct {
	allowed []origin
	spelled []*url.URL // the same as they are configured, which are quicker to compare
	err     error
}

func (o *origins) add(u *url.URL) {
	o.allowed, o.spelled = append(o.allowed, originOf(u)), append(o.spelled, u)
}

// origin is as net/http dials it: lower case, IDNA, no dot at the end. The zero
// value is of a URL that cannot be dialed.
type origin struct {
	scheme, host string
	port         uint16
}

func (o origin) String() string {
	return o.scheme + "://" + net.JoinHostPort(o.host, strconv.Itoa(int(o.port)))
}

// setOrigins works the origins out of the configuration.
func (t *Transport) setOrigins() {
	for i, text := range t.Origins {
		u, err := parseOrigin(text)
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

func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(u.Host, "*") ||
		u.User != nil || u.Path != "" || strings.ContainsAny(text, "?#") || originOf(u) == origin{}:
		return nil, errors.New("want scheme://host[:port]")
	case !secure(u):
		return nil, ErrInsecure
	}
	return u, nil
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
	at := originOf(req.URL)
	if first && at != (origin{}) && slices.Contains(allowed, at) {
		return true, nil
	}
	if first {
		err := fmt.Errorf("%w: %s is not among %s; if it may, name all that may in the Transport's Origins", ErrOrigin, at, allowed)
		if !secure(req.URL) {
			err = fmt.Errorf("%w: %w", err, ErrInsecure)
		}
		return false, err
	}
	if len(allowed) == 0 {
		allowed = []origin{at}
	}
	hop := req
	for range maxHops {
		if hop == nil || hop.URL == nil {
			break
		}
		if o := originOf(hop.URL); o == (origin{}) || !slices.Contains(allowed, o) {
			break
		}
		if hop.Response == nil {
			return true, nil
		}
		hop = hop.Response.Request
	}
	return false, nil // it has left them, or cannot be seen
}

func originOf(u *url.URL) origin {
	o := origin{u.Scheme, dialed(u.Hostname()), 443}
	if u.Scheme == "http" {
		o.port = 80
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return origin{}
		}
		o.port = uint16(n)
	}
	if o.host == "" {
		return origin{}
	}
	return o
}

// dialed is a host in the one spelling that is compared, "" if it has none.
func dialed(host string) string {
	if strings.Contains(host, ":") {
		ip, err := netip.ParseAddr(host) // its zone has upper and lower case
		if err != nil {
			return ""
		}
		return ip.String()
	}
	if !isASCII(host) {
		host = punycode(host)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !isASCII(host) || strings.Contains("."+host+".", "..") {
		return ""
	}
	return host
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

// punycode asks net/http, which keeps its IDNA to itself, what it would dial.
func punycode(host string) string {
	var addr string
	stop := &http.Transport{DialContext: func(_ context.Context, _, to string) (net.Conn, error) {
		addr = to
		return nil, errors.ErrUnsupported
	}}
	stop.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: host}, Header: http.Header{}})
	host, _, _ = net.SplitHostPort(addr)
	return host
}
