// Package origin knows which origins may have a token. It compares them as
// net/http dials them.
package origin

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Origin is as net/http dials it: lower case, IDNA, no dot at the end, no default
// port. The zero value is of a URL that cannot be dialed.
type Origin struct{ scheme, host string }

// String is the origin as a configuration spells it.
func (o Origin) String() string {
	if o == (Origin{}) {
		return "a host that cannot be dialed"
	}
	return o.scheme + "://" + o.host
}

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// Parse reads an origin of a configuration, scheme://host[:port].
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || *u != (url.URL{Scheme: u.Scheme, Host: u.Host}) || strings.ContainsAny(text, "*#") || Of(u) == (Origin{}) {
		return nil, errors.New("want scheme://host[:port]")
	}
	return u, nil
}

// Of is the origin of a URL.
func Of(u *url.URL) Origin {
	host, defaultPort := dialed(u.Hostname()), defaultPorts[u.Scheme]
	port, err := strconv.ParseUint(cmp.Or(u.Port(), defaultPort), 10, 16)
	if err != nil || host == "" {
		return Origin{}
	}
	host = net.JoinHostPort(host, strconv.FormatUint(port, 10))
	return Origin{u.Scheme, strings.TrimSuffix(host, ":"+defaultPort)}
}

// dialed is a host in the one spelling that is compared, "" if it has none.
func dialed(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil { // its zone has upper and lower case
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
func punycode(host string) (ascii string) {
	stop := &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		ascii, _, _ = net.SplitHostPort(addr)
		return nil, errors.ErrUnsupported
	}}
	stop.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: host}, Header: http.Header{}})
	return ascii
}

// Secure reports whether a secret may be sent to u: by https, or within this
// machine.
func Secure(u *url.URL) bool {
	if u.Scheme != "http" {
		return u.Scheme == "https"
	}
	return strings.EqualFold(u.Hostname(), "localhost") || net.ParseIP(u.Hostname()).IsLoopback()
}

// Set is the origins that may have a token, each as it is spelled, which is
// found sooner, and as it is dialed. Without any, the first origin of a redirect
// chain may.
type Set []Origin

// With is the set and the origin of u.
func (s Set) With(u *url.URL) Set {
	spelled, dialed := Origin{u.Scheme, u.Host}, Of(u)
	if s = append(s, spelled); dialed != spelled {
		s = append(s, dialed)
	}
	return s
}

// maxHops bounds the look at a redirect chain, which may be a ring.
const maxHops = 100

// Allows reports whether a token may go with a request: if that and all before it
// in its redirect chain go to origins of the set, and no secret goes in clear. It
// is false if that cannot be seen.
func (s Set) Allows(hop *http.Request) bool {
	if len(s) == 0 && hop.Response != nil {
		s = s.With(hop.URL)
	}
	for range maxHops {
		if hop == nil || hop.URL == nil || !Secure(hop.URL) || !s.has(hop.URL) {
			return false
		}
		if hop.Response == nil {
			return true
		}
		hop = hop.Response.Request
	}
	return false
}

func (s Set) has(u *url.URL) bool {
	if len(s) == 0 || slices.Contains(s, Origin{u.Scheme, u.Host}) {
		return true
	}
	at := Of(u)
	return at != (Origin{}) && slices.Contains(s, at)
}
