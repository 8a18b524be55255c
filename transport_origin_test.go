package tokensource_test

// Where the token may go: origins, plain http, redirects.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// world is two real servers, one for https and one for http (port 80), that
// stand for every host there is. A request to /n is redirected to the nth URL
// of hops; tokens holds what each request brought along.
type world struct {
	*http.Transport
	status int
	hops   []string
	tokens []string
}

func newWorld(t *testing.T) *world {
	w := &world{status: http.StatusFound}
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.tokens = append(w.tokens, r.Header.Get("Authorization"))
		if len(w.tokens) < len(w.hops) {
			rw.Header().Set("Location", w.hops[len(w.tokens)])
			rw.WriteHeader(w.status)
		}
	})
	encrypted, clear := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	t.Cleanup(encrypted.Close)
	t.Cleanup(clear.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(encrypted.Certificate())
	w.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			server := encrypted
			if strings.HasSuffix(addr, ":80") {
				server = clear
			}
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

func TestTransportOrigins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		origins []string
		url     string
		want    bool
	}{
		{"any first origin by default", nil, "https://any.example/path", true},
		{"the one", []string{"https://api.example"}, "https://api.example/path", true},
		{"one of several", []string{"https://a.example", "https://api.example"}, "https://api.example/", true},
		{"another host", []string{"https://api.example"}, "https://other.example/", false},
		{"subdomain", []string{"https://api.example"}, "https://evil.api.example/", false},
		{"parent domain", []string{"https://api.example.com"}, "https://example.com/", false},
		{"the name as a prefix", []string{"https://api.example"}, "https://api.example.evil.test/", false},
		{"the name as a suffix", []string{"https://api.example"}, "https://notapi.example/", false},
		{"the name as a user", []string{"https://api.example"}, "https://api.example@evil.test/", false},
		{"the name in the path", []string{"https://api.example"}, "https://evil.test/https://api.example/", false},
		{"upper case in the list", []string{"HTTPS://API.Example"}, "https://api.example/", true},
		{"upper case in the request", []string{"https://api.example"}, "https://API.EXAMPLE/", true},
		{"default port in the list", []string{"https://api.example:443"}, "https://api.example/", true},
		{"default port in the request", []string{"https://api.example"}, "https://api.example:443/", true},
		{"another port in the request", []string{"https://api.example"}, "https://api.example:8443/", false},
		{"another port in the list", []string{"https://api.example:8443"}, "https://api.example/", false},
		{"the port that is listed", []string{"https://api.example:8443"}, "https://api.example:8443/", true},
		{"https port of http", []string{"http://127.0.0.1:443"}, "http://127.0.0.1/", false},
		{"http port by default", []string{"http://127.0.0.1:80"}, "http://127.0.0.1/", true},
		{"another scheme", []string{"https://127.0.0.1"}, "http://127.0.0.1/", false},
		// Spellings that net/http dials alike.
		{"empty port in the list", []string{"https://api.example:"}, "https://api.example/", true},
		{"port with a zero in front", []string{"https://api.example:0443"}, "https://api.example/", true},
		{"trailing dot in the list", []string{"https://api.example."}, "https://api.example/", true},
		{"trailing dot in the request", []string{"https://api.example"}, "https://api.example./", true},
		{"punycode in the list", []string{"https://xn--bcher-kva.example"}, "https://bücher.example/", true},
		{"punycode in the request", []string{"https://bücher.example"}, "https://xn--bcher-kva.example/", true},
		{"Unicode in upper case", []string{"https://bücher.example"}, "https://BÜCHER.example/", true},
		{"IPv6 in full", []string{"https://[2001:DB8:0:0:0:0:0:1]"}, "https://[2001:db8::1]/", true},
		{"IPv6 zone", []string{"https://[fe80::1%25eth0]"}, "https://[fe80::1%25eth0]/", true},
		{"another IPv6 zone", []string{"https://[fe80::1%25eth0]"}, "https://[fe80::1%25ETH0]/", false},
		// Names that Unicode folds into one, and IDNA does not.
		{"sharp s, small and capital", []string{"https://straße.example"}, "https://straẞe.example/", false},
		{"sharp s and ss", []string{"https://straße.example"}, "https://strasse.example/", false},
		{"final sigma", []string{"https://σας.example"}, "https://σασ.example/", false},
		{"IPv6", []string{"https://[2001:db8::1]"}, "https://[2001:db8::1]:443/", true},
		{"another IPv6 that ends alike", []string{"https://[2001:db8::1]"}, "https://[::1]/", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, source := newWorld(t), new(scriptedSource)
			tr := &tokensource.Transport{Source: source, Base: w, Origins: tt.origins}
			req, err := http.NewRequest(http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if !tt.want {
				e := asError(t, err)
				if !errors.Is(e, tokensource.ErrOrigin) || e.Temporary() || !strings.Contains(e.Error(), req.URL.Scheme+"://") ||
					!strings.Contains(e.Error(), "Transport's Origins") {
					t.Errorf("error = %v, want ErrOrigin that names the origin and how to allow it", e)
				}
				if len(w.tokens) != 0 {
					t.Errorf("sent %q, want nothing", w.tokens)
				}
				wantCalls(t, source, 0)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !slices.Equal(w.tokens, []string{"Bearer token-1"}) {
				t.Errorf("sent %q, want the token", w.tokens)
			}
		})
	}
}

// An entry that matches nothing would silently leave every request without a
// token, one that matches too much would leak it.
func TestTransportMalformedOrigin(t *testing.T) {
	for name, origin := range map[string]string{
		"empty":           "",
		"host only":       "api.example",
		"host and port":   "api.example:443",
		"scheme only":     "https://",
		"no scheme":       "://api.example",
		"trailing slash":  "https://api.example/",
		"path":            "https://api.example/v1",
		"query":           "https://api.example?x",
		"fragment":        "https://api.example#x",
		"credentials":     "https://user:hunter2@api.example",
		"wildcard":        "https://*.api.example",
		"trailing space":  "https://api.example ",
		"leading space":   " https://api.example",
		"port not number": "https://api.example:https",
		"port too large":  "https://api.example:65536",
		"empty label":     "https://.api.example",
		"only a dot":      "https://.",
		"no IDN":          "https://a\u00ad_ü.example",
		"bare zone":       "https://[fe80::1%eth0]",
		"plain http":      "http://api.example",
	} {
		t.Run(name, func(t *testing.T) {
			body := &countedBody{Reader: strings.NewReader("hello")}
			req := httptest.NewRequest(http.MethodPost, "https://api.example/", body)
			w := newWorld(t)
			tr := &tokensource.Transport{Source: new(scriptedSource), Base: w, Origins: []string{"https://api.example", origin}}
			_, err := tr.RoundTrip(req)
			text := asError(t, err).Error()
			if !strings.Contains(text, "Origins") || !strings.Contains(text, "entry 1") ||
				!strings.Contains(text, "scheme://host[:port]") && name != "plain http" {
				t.Fatalf("error = %s, want one that says what an origin looks like", text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("error shows a secret: %s", text)
			}
			if len(w.tokens) != 0 || body.closed.Load() != 1 {
				t.Errorf("%d requests sent, body closed %d times; want 0 and 1", len(w.tokens), body.closed.Load())
			}
		})
	}
}

func TestTransportRefusesPlainHTTP(t *testing.T) {
	for _, tt := range []struct {
		host string
		want error
	}{
		{"127.0.0.1", nil},
		{"127.8.8.8", nil},
		{"[::1]", nil},
		{"localhost", nil},
		{"LocalHost", nil},
		{"api.example", tokensource.ErrInsecure},
		{"10.0.0.1", tokensource.ErrInsecure},
		{"0.0.0.0", tokensource.ErrInsecure},
		{"[fe80::1]", tokensource.ErrInsecure},
		{"127.0.0.1.api.example", tokensource.ErrInsecure},
		{"localhost.api.example", tokensource.ErrInsecure},
		{"notlocalhost", tokensource.ErrInsecure},
	} {
		t.Run(tt.host, func(t *testing.T) {
			w, source := newWorld(t), new(scriptedSource)
			body := &countedBody{Reader: strings.NewReader("hello")}
			client := &http.Client{Transport: &tokensource.Transport{Source: source, Base: w}}
			resp, err := client.Post("http://"+tt.host+"/", "text/plain", body)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			if n := body.closed.Load(); n == 0 {
				t.Error("body was not closed")
			}
			if err == nil {
				resp.Body.Close()
				return
			}
			if e := asError(t, err); !strings.Contains(e.Error(), "use https") {
				t.Errorf("error = %v, want one that says what to do", e)
			}
			if len(w.tokens) != 0 {
				t.Errorf("%d requests sent, want none", len(w.tokens))
			}
			wantCalls(t, source, 0)
		})
	}
}

// The error named it "://".
func TestTransportToAnOriginThatCannotBeDialed(t *testing.T) {
	tr := &tokensource.Transport{Source: new(scriptedSource), Base: newWorld(t), Origins: []string{"https://api.example"}}
	for _, host := range []string{"api.example..", "api.example:99999", "a\u00ad_ü.example"} {
		_, err := tr.RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: host}})
		if e := asError(t, err); !errors.Is(e, tokensource.ErrOrigin) || !strings.Contains(e.Error(), "a host that cannot be dialed") {
			t.Errorf("%s: error = %v, want one that says what is wrong with it", host, e)
		}
	}
}

// Of an origin that is configured with https the mistake is the scheme.
func TestTransportPlainHTTPToAnOriginOfHTTPS(t *testing.T) {
	w := newWorld(t)
	tr := &tokensource.Transport{Source: new(scriptedSource), Base: w, Origins: []string{"https://api.example"}}
	_, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, "http://api.example/", nil))
	e := asError(t, err)
	if !errors.Is(e, tokensource.ErrInsecure) || !errors.Is(e, tokensource.ErrOrigin) || !strings.Contains(e.Error(), "use https") {
		t.Errorf("error = %v, want ErrInsecure, which is ErrOrigin too", e)
	}
	if len(w.tokens) != 0 {
		t.Errorf("%d requests sent, want none", len(w.tokens))
	}
}

// golang/oauth2#500, google-cloud-go#14547, google/go-github#4190: the
// transport attached the bearer token again on the host that it was redirected
// to.
func TestTransportRedirects(t *testing.T) {
	const home, away = "https://home.example/", "https://away.test/"
	bases := map[string]func(http.RoundTripper) http.RoundTripper{
		"net/http": func(base http.RoundTripper) http.RoundTripper { return base },
		// As stubs and recorders do.
		"base whose response has no Request": func(base http.RoundTripper) http.RoundTripper {
			return baseFunc(func(req *http.Request) (*http.Response, error) {
				resp, err := base.RoundTrip(req)
				if err == nil {
					resp.Request = nil
				}
				return resp, err
			})
		},
		// As signing and tunnelling transports do.
		"base that sends a request of its own": func(base http.RoundTripper) http.RoundTripper {
			return baseFunc(func(req *http.Request) (*http.Response, error) {
				own, err := http.NewRequestWithContext(req.Context(), req.Method, req.URL.String(), req.Body)
				if err != nil {
					return nil, err
				}
				own.Header = req.Header
				return base.RoundTrip(own)
			})
		},
	}
	for _, tt := range []struct {
		name    string
		origins []string
		hops    []string
		want    []bool // which hop gets the token
	}{
		{"same origin", nil, []string{home, home + "next", home + "last"}, []bool{true, true, true}},
		{"same origin with its port", nil, []string{home, "https://home.example:443/"}, []bool{true, true}},
		{"another host", nil, []string{home, away}, []bool{true, false}},
		{"another host and on from there", nil, []string{home, away, away + "next", "https://third.test/"}, []bool{true, false, false, false}},
		{"away and back home", nil, []string{home, away, home}, []bool{true, false, false}},
		{"away, back home and on", nil, []string{home, away, home, home}, []bool{true, false, false, false}},
		{"subdomain", nil, []string{home, "https://evil.home.example/"}, []bool{true, false}},
		{"parent domain", nil, []string{"https://api.home.example/", home}, []bool{true, false}},
		{"another port", nil, []string{home, "https://home.example:8443/"}, []bool{true, false}},
		{"https to http", nil, []string{home, "http://home.example/"}, []bool{true, false}},
		{"https to http and back", nil, []string{home, "http://home.example/", home}, []bool{true, false, false}},
		{"http to https", nil, []string{"http://127.0.0.1/", "https://127.0.0.1/"}, []bool{true, false}},
		{"within the origins", []string{"https://home.example", "https://away.test"}, []string{home, away, home}, []bool{true, true, true}},
		{"out of the origins", []string{"https://home.example"}, []string{home, away}, []bool{true, false}},
		{"out of the origins and back", []string{"https://home.example"}, []string{home, away, home}, []bool{true, false, false}},
	} {
		for name, base := range bases {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.hops = tt.hops
				tr := &tokensource.Transport{
					Source:  oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc"}),
					Base:    base(w),
					Origins: tt.origins,
				}
				resp, err := (&http.Client{Transport: tr}).Get(tt.hops[0])
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				var got []bool
				for _, header := range w.tokens {
					got = append(got, header != "")
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("token sent = %v, want %v for %v", got, tt.want, tt.hops)
				}
			})
		}
	}
}

// Whatever kind of redirect it is, and with a body too.
func TestTransportRedirectStatuses(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(fmt.Sprint(status, method), func(t *testing.T) {
				w := newWorld(t)
				w.status = status
				w.hops = []string{"https://home.example/", "https://home.example/next", "https://away.test/", "https://home.example/"}
				client := &http.Client{Transport: &tokensource.Transport{Source: &tokensource.Cache{Source: new(scriptedSource)}, Base: w}}
				req, err := http.NewRequest(method, w.hops[0], strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if want := []string{"Bearer token-1", "Bearer token-1", "", ""}; !slices.Equal(w.tokens, want) {
					t.Errorf("sent %q, want %q", w.tokens, want)
				}
			})
		}
	}
}

// net/http drops a header of the caller's on the way to another host. The token
// must not take its place there.
func TestTransportRedirectWithExplicitHeader(t *testing.T) {
	w := newWorld(t)
	w.hops = []string{"https://home.example/", "https://away.test/", "https://home.example/"}
	client := &http.Client{Transport: &tokensource.Transport{Source: new(scriptedSource), Base: w}}
	req, err := http.NewRequest(http.MethodGet, w.hops[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic own")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"Basic own", "", ""}; !slices.Equal(w.tokens, want) {
		t.Errorf("sent %q, want %q", w.tokens, want)
	}
}
