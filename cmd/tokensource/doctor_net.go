package main

// The doctor's checks of the way to the provider, each of which needs the one
// before. One request without credentials tells the most.

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	certificateDays = 14          // fewer to go are a warning
	clockTolerance  = time.Minute // between this machine and the provider
)

// way is how far the checks have come.
type way struct {
	target  *url.URL // of the token endpoint
	client  *http.Client
	timeout time.Duration

	host, port string         // what is dialled: the target's, or the proxy's
	answer     *http.Response // to a request without credentials
	ahead      time.Duration  // of the provider's clock
	blocked    string         // the check that failed
}

type step struct {
	name string
	do   func(ctx context.Context) check
}

func newWay(e *tokensource.Endpoint, timeout time.Duration) *way {
	w := &way{timeout: timeout, client: &http.Client{
		Transport:     e.HTTPClient.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var err error
	if w.target, err = url.Parse(e.URL); err != nil || w.target.Hostname() == "" || w.target.User != nil {
		w.blocked = "address"
	}
	return w
}

func (w *way) steps() []step {
	return []step{{"proxy", w.proxy}, {"dns", w.dns}, {"tcp", w.tcp}, {"tls", w.tls}, {"clock", w.clock}, {"rate limit", w.rateLimit}}
}

func (w *way) check(ctx context.Context, s step) check {
	if w.blocked != "" {
		return skipped("needs %s", w.blocked)
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	c := s.do(ctx)
	if c.Result == resultFailed && w.answer == nil {
		w.blocked = s.name
	}
	return c
}

func (w *way) proxy(context.Context) check {
	w.host, w.port = w.target.Hostname(), w.target.Port()
	if w.port == "" {
		w.port = map[string]string{"http": "80", "https": "443"}[w.target.Scheme]
	}
	proxy, err := w.client.Transport.(*http.Transport).Proxy(&http.Request{URL: w.target})
	switch {
	case err != nil, proxy != nil && proxy.Hostname() == "": // err quotes the variable, in which there may be a password
		return failed(exitUsage, "HTTPS_PROXY is not a URL: write http://host:port")
	case proxy == nil:
		return passed("none for this address")
	}
	w.host, w.port = proxy.Hostname(), proxy.Port()
	if w.port == "" {
		w.port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	return passed("%s, from the environment", net.JoinHostPort(w.host, w.port))
}

func (w *way) dns(ctx context.Context) check {
	if net.ParseIP(w.host) != nil {
		return passed("%s is an address", w.host)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, w.host)
	if err != nil {
		return failed(exitTemporary, "%s is not found: check --base-url, the proxy and the network (%v)", w.host, withoutAddress(err))
	}
	return passed("%s is %s", w.host, addresses[0])
}

func (w *way) tcp(ctx context.Context) check {
	start := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(w.host, w.port))
	if err != nil {
		return failed(exitTemporary, "no connection: check the network, a firewall, the port (%v)", withoutAddress(err))
	}
	conn.Close()
	return passed("%s takes connections, after %v", conn.RemoteAddr(), time.Since(start).Round(time.Microsecond))
}

func (w *way) tls(ctx context.Context) check {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, w.target.String(), nil)
	if err != nil {
		return failed(exitUsage, "%s", message(err))
	}
	start := time.Now()
	resp, err := w.client.Do(req)
	if err != nil {
		return refused(err)
	}
	resp.Body.Close()
	w.answer = resp
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header has whole seconds, rounded down.
		w.ahead = date.Add(time.Second / 2).Sub(start.Add(time.Since(start) / 2).Round(0))
	}
	if resp.TLS == nil {
		return skipped("plain http, within this machine")
	}
	leaf := resp.TLS.PeerCertificates[0]
	days := int(time.Until(leaf.NotAfter).Hours() / 24)
	text := fmt.Sprintf("%s, certificate of %s by %s, a chain of %d, %d days left", tls.VersionName(resp.TLS.Version),
		name(leaf.Subject.CommonName, leaf.DNSNames), name(leaf.Issuer.CommonName, leaf.Issuer.Organization), len(resp.TLS.VerifiedChains[0]), days)
	if days < certificateDays {
		return warning("%s: the provider has to renew it soon", text)
	}
	return passed("%s", text)
}

// name is a name of a certificate's: the first there is.
func name(common string, others []string) string {
	switch {
	case common != "":
		return strconv.Quote(common)
	case len(others) > 0:
		return strconv.Quote(others[0])
	}
	return "nobody"
}

// refused says why there is no answer.
func refused(err error) check {
	if text := connectionFault(err); text != "" {
		return failed(exitUsage, "%s", text)
	}
	return failed(exitTemporary, "no answer to a request: try again later (%v)", reason(err))
}

func (w *way) clock(context.Context) check {
	switch ahead := w.ahead.Round(time.Second); {
	case w.answer.Header.Get("Date") == "":
		return skipped("the provider does not tell its time")
	case ahead.Abs() < clockTolerance:
		return passed("%v apart from the provider's", ahead.Abs())
	case ahead > 0:
		return failed(exitUsage, "this machine's clock is %v behind the provider's: set it, or have it set by NTP", ahead)
	default:
		return failed(exitUsage, "this machine's clock is %v ahead of the provider's: set it, or have it set by NTP", -ahead)
	}
}

func (w *way) rateLimit(context.Context) check {
	left, limit := w.answer.Header.Get("X-RateLimit-Remaining"), w.answer.Header.Get("X-RateLimit-Limit")
	n, err := strconv.Atoi(left)
	of, _ := strconv.Atoi(limit)
	switch wait := w.answer.Header.Get("Retry-After"); {
	case w.answer.StatusCode == http.StatusTooManyRequests:
		return failed(exitTemporary, "it is used up: wait, and find out who asks so often (Retry-After: %.20q)", wait)
	case err != nil:
		return skipped("the provider does not tell")
	case n <= of/10:
		return warning("%d of %d requests are left: find out who asks so often", n, of)
	}
	return passed("%d of %d requests are left", n, of)
}
