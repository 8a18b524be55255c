// Package origin compares the origins of URLs as net/http dials them.
package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is as net/http dials it: lower case, IDNA, no dot at the end. The zero
// value is of a URL that cannot be dialed.
type Origin struct {
	scheme, host string
	port         uint16
}

// String is the origin as a configuration spells it, without a default port.
func (o Origin) String() string {
	host := net.JoinHostPort(o.host, strconv.Itoa(int(o.port)))
	if o.port == defaultPorts[o.scheme] {
		host = strings.TrimSuffix(host, fmt.Sprintf(":%d", o.port))
	}
	return o.scheme + "://" + host
}

var defaultPorts = map[string]uint16{"https": 443, "http": 80}

// Parse reads an origin of a configuration, scheme://host[:port].
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(u.Host, "*") ||
		u.User != nil || u.Path != "" || strings.ContainsAny(text, "?#") || Of(u) == (Origin{}) {
		return nil, errors.New("want scheme://host[:port]")
	}
	return u, nil
}

// Of is the origin of a URL.
func Of(u *url.URL) Origin {
	o := Origin{u.Scheme, dialed(u.Hostname()), defaultPorts[u.Scheme]}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return Origin{}
		}
		o.port = uint16(n)
	}
	if o.host == "" {
		return Origin{}
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

// Secure reports whether a secret may be sent to u: by https, or within this
// machine.
func Secure(u *url.URL) bool {
	if u.Scheme != "http" {
		return u.Scheme == "https"
	}
	return strings.EqualFold(u.Hostname(), "localhost") || net.ParseIP(u.Hostname()).IsLoopback()
}
