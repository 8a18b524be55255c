package exchange

// The round trip against real connections and against a scripted RoundTripper:
// which client is asked and how, and how it fails.

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

const (
	endpointURL = "https://tokens.example/token"
	testSecret  = "test-secret-91ab5577"
	issuedToken = "issued-token-c04e7712"
)

// newRequest is a request with one secret, in a header as Basic has it.
func newRequest(t *testing.T, address string, client *http.Client) *Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &Request{
		URL: u, Header: http.Header{"Authorization": {"Basic " + testSecret}}, Body: []byte("grant_type=client_credentials"),
		Lifetime: 10 * time.Minute, Secrets: []string{testSecret}, Setting: "URL", Client: client,
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// saying answers every request with a status and a body.
func saying(status int, body string) *http.Client {
	return &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	})}
}

func failing(err error) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, err })}
}

// everyText returns all that a program can print of an error: each link of the
// chain that Unwrap or As leads to, in each verb, as JSON and in a log.
func everyText(err error) (texts []string) {
	if err == nil {
		return nil
	}
	var line strings.Builder
	slog.New(slog.NewJSONHandler(&line, nil)).Error("x", "err", err)
	slog.New(slog.NewTextHandler(&line, nil)).Error("x", "err", err)
	inJSON, _ := json.Marshal(err)
	texts = append(texts, line.String(), string(inJSON))
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		texts = append(texts, fmt.Sprintf(verb, err))
	}
	var asURL *url.Error
	if errors.As(err, &asURL) {
		texts = append(texts, asURL.Error(), asURL.URL, asURL.Err.Error())
	}
	var asOp *net.OpError
	if errors.As(err, &asOp) {
		texts = append(texts, asOp.Error(), asOp.Err.Error())
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		texts = append(texts, everyText(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, link := range e.Unwrap() {
			texts = append(texts, everyText(link)...)
		}
	}
	return texts
}

// wantHidden fails the test if a secret shows in any text of a fault.
func wantHidden(t *testing.T, f *Fault, hidden ...string) {
	t.Helper()
	if f == nil {
		t.Fatal("no fault")
	}
	for _, text := range append(everyText(f.Err), f.Code, f.Description) {
		for _, secret := range hidden {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows in %q", secret, text)
			}
		}
	}
	if f.Err != nil && f.Err.Error() != Line(f.Err.Error()) {
		t.Errorf("not one line: %q", f.Err)
	}
}

// serve accepts connections, one at a time, and hands each over with its number.
func serve(t *testing.T, handle func(n int, conn net.Conn, in *bufio.Reader)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				handle(n, conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() { listener.Close(); served.Wait() })
	return "http://" + listener.Addr().String()
}

// receive reads a whole request and returns its head.
func receive(in *bufio.Reader) (head string, err error) {
	var all strings.Builder
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(in, &all)))
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	head, _, _ = strings.Cut(all.String(), "\r\n\r\n")
	return head, err
}

// A kept-alive connection that the server gave up fails no request: net/http
// repeats it on another. What makes it do so is not sent.
func TestStaleConnection(t *testing.T) {
	heads := make(chan string, 3)
	address := serve(t, func(n int, conn net.Conn, in *bufio.Reader) {
		for i := 1; ; i++ {
			head, err := receive(in)
			if err != nil {
				return
			}
			heads <- head
			if n == 1 && i == 2 {
				return // the request was read, and nothing comes
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"access_token\": \"tok\"}")
		}
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	r := newRequest(t, address, &http.Client{Transport: transport})
	for range 2 {
		if tok, f := r.Do(t.Context()); f != nil || tok.AccessToken != "tok" {
			t.Fatalf("%v, %+v", tok, f)
		}
	}
	for range 3 {
		if head := <-heads; strings.Contains(strings.ToLower(head), "idempotency") {
			t.Errorf("sent %q", head)
		}
	}
	r.Header.Set("Idempotency-Key", "mine")
	if _, f := r.Do(t.Context()); f != nil || !strings.Contains(<-heads, "Idempotency-Key: mine") {
		t.Errorf("the caller's own entry was not sent: %+v", f)
	}
}

// net/http quotes what is no HTTP, and that may be the token.
func TestMalformedAnswerIsNotQuoted(t *testing.T) {
	var answer atomic.Value
	address := serve(t, func(_ int, conn net.Conn, in *bufio.Reader) {
		if _, err := receive(in); err == nil {
			io.WriteString(conn, answer.Load().(string))
		}
	})
	for name, c := range map[string]struct{ bytes, says string }{
		"no head":               {`{"access_token": "` + issuedToken + "\"}\r\n\r\n", "not valid HTTP"},
		"token in the status":   {"HTTP/1.1 " + issuedToken + "\r\n\r\n", "not valid HTTP"},
		"token as protocol":     {issuedToken + " 200 OK\r\n\r\n", "not valid HTTP"},
		"body as a header":      {"HTTP/1.1 200 OK\r\n{\"access_token\" \"" + issuedToken + "\"}\r\n\r\n", "not valid HTTP"},
		"bad Content-Length":    {"HTTP/1.1 200 OK\r\nContent-Length: " + issuedToken + "\r\n\r\n", "not valid HTTP"},
		"bad Transfer-Encoding": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + issuedToken + "\r\n\r\n", "not valid HTTP"},
		"bad Location":          {"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://%zz" + issuedToken + "\r\nContent-Length: 0\r\n\r\n", "not valid HTTP"},
		"bad chunk":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + issuedToken + "\r\n", "cut off: "},
		"bad trailer":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + issuedToken + "\r\n\r\n", "cut off: "},
		"head that breaks off":  {"HTTP/1.1 200 OK\r\nX-Token: " + issuedToken, "unexpected EOF"},
		"secret comes back":     {testSecret + "\r\n\r\n", "not valid HTTP"},
		"control characters":    {"HTTP/1.1 2\x1b[31m\a00 " + issuedToken + "\r\n\r\n", "not valid HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			answer.Store(c.bytes)
			_, f := newRequest(t, address, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(t.Context())
			wantHidden(t, f, issuedToken, testSecret)
			if !f.Temporary || !strings.Contains(f.Err.Error(), c.says) {
				t.Errorf("fault is %+v, want %q", f, c.says)
			}
		})
	}
}

// errors.As(*url.Error) and every Unwrap lead past a text that was reworded.
func TestChainOfATransportError(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dns := &net.DNSError{Err: "no such host", Name: "tokens.example"}
	for name, c := range map[string]struct {
		err  error
		says string
		as   any
	}{
		"nothing to hide":            {refused, "connection refused", new(syscall.Errno)},
		"the secret":                 {fmt.Errorf("sending %s: %w", testSecret, refused), "connection refused", new(syscall.Errno)},
		"a part of the secret":       {fmt.Errorf("sending %s: %w", testSecret[:9], dns), "withheld", new(*net.DNSError)},
		"the secret deep inside":     {&net.OpError{Op: "dial", Net: "tcp", Err: &net.AddrError{Err: "x", Addr: testSecret}}, "withheld", nil},
		"one of several":             {fmt.Errorf("%w, %w", refused, errors.New(testSecret)), "connection refused", nil},
		"a quotation":                {fmt.Errorf(`malformed HTTP response "%s"`, issuedToken), "withheld", nil},
		"several lines":              {errors.Join(refused, errors.New("x")), "connection refused", nil},
		"a mark that turns the text": {errors.New("a\u202eb\u200b"), "withheld", nil},
		"end of file":                {io.EOF, "EOF", nil},
		"certificate and secret":     {fmt.Errorf("%s: %w", testSecret, x509.UnknownAuthorityError{}), "withheld", new(x509.UnknownAuthorityError)},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := newRequest(t, endpointURL, failing(c.err)).Do(t.Context())
			wantHidden(t, f, testSecret[:8], issuedToken)
			if text := f.Err.Error(); !strings.Contains(text, c.says) || !strings.HasPrefix(text, `Post "`+endpointURL+`": `) {
				t.Errorf("says %q, want %q", text, c.says)
			}
			if !errors.Is(f.Err, c.err) || !f.Temporary {
				t.Errorf("is the error: %v; temporary: %v", errors.Is(f.Err, c.err), f.Temporary)
			}
			if c.as != nil && !errors.As(f.Err, c.as) {
				t.Errorf("no %T", c.as)
			}
			if errors.As(f.Err, new(*url.Error)) || errors.As(f.Err, new(*net.OpError)) {
				t.Error("an error with a text of its own is in the chain")
			}
		})
	}
}

// What callers ask about a certificate stays in the chain, whatever the text.
func TestCertificateErrorsStayInTheChain(t *testing.T) {
	for name, c := range map[string]struct {
		err error
		as  any
	}{
		"unknown authority":   {x509.UnknownAuthorityError{}, new(x509.UnknownAuthorityError)},
		"another host":        {x509.HostnameError{Certificate: new(x509.Certificate)}, new(x509.HostnameError)},
		"expired":             {x509.CertificateInvalidError{Reason: x509.Expired}, new(x509.CertificateInvalidError)},
		"no roots":            {x509.SystemRootsError{}, new(x509.SystemRootsError)},
		"weak signature":      {x509.InsecureAlgorithmError(x509.SHA1WithRSA), new(x509.InsecureAlgorithmError)},
		"constraint":          {x509.ConstraintViolationError{}, new(x509.ConstraintViolationError)},
		"critical extension":  {x509.UnhandledCriticalExtension{}, new(x509.UnhandledCriticalExtension)},
		"alert of the server": {tls.AlertError(116), new(tls.AlertError)}, // wants a client certificate
	} {
		for text, err := range map[string]error{"as it is": c.err, "beside the secret": fmt.Errorf("%s: %w", testSecret, c.err)} {
			_, f := newRequest(t, endpointURL, failing(err)).Do(t.Context())
			wantHidden(t, f, testSecret)
			if !errors.As(f.Err, c.as) {
				t.Errorf("%s, %s: no %T in %v", name, text, c.as, f.Err)
			}
		}
	}
}

// A RoundTripper may panic with what it was given.
func TestPanicOfTheClientIsNotQuoted(t *testing.T) {
	for text, says := range map[string]string{"out of cheese": "panic: out of cheese (in ", "cannot sign " + testSecret: "withheld"} {
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic(text) })}
		_, f := newRequest(t, endpointURL, client).Do(t.Context())
		wantHidden(t, f, testSecret)
		if f.Temporary || !strings.Contains(f.Err.Error(), says) {
			t.Errorf("fault is %+v, want %q", f, says)
		}
	}
}

// A cause of the caller's own hides neither that the context ended nor how.
func TestContextThatEndsWithACauseOfItsOwn(t *testing.T) {
	why := errors.New("the budget is used up")
	left, leave := context.WithCancelCause(t.Context())
	leave(why)
	late, cancel := context.WithDeadlineCause(t.Context(), time.Now(), why)
	defer cancel()
	transport := &http.Transport{}
	for want, ctx := range map[error]context.Context{context.Canceled: left, context.DeadlineExceeded: late} {
		_, f := newRequest(t, endpointURL, &http.Client{Transport: transport}).Do(ctx)
		if f == nil || !errors.Is(f.Err, want) || !errors.Is(f.Err, why) || Timeout(f.Err) != (want == context.DeadlineExceeded) {
			t.Errorf("fault is %+v, want %v and its cause", f, want)
		}
	}
}

// To try again would not help, and says so.
func TestPermanentFailures(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshakes
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	proxyURL, _ := url.Parse(proxy.URL)
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig
	pin := errors.New("pin of tokens.example does not match")

	pinned, pinnedTwice := trusted.Clone(), trusted.Clone()
	pinned.VerifyConnection = func(tls.ConnectionState) error { return pin }
	pinnedTwice.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return pin }
	for name, c := range map[string]struct {
		address   string
		transport *http.Transport
		says      string
	}{
		"pin, by VerifyConnection":      {server.URL, &http.Transport{TLSClientConfig: pinned}, pin.Error()},
		"pin, by VerifyPeerCertificate": {server.URL, &http.Transport{TLSClientConfig: pinnedTwice}, pin.Error()},
		"unknown authority":             {server.URL, &http.Transport{}, "certificate"},
		"proxy wants credentials":       {endpointURL, &http.Transport{Proxy: http.ProxyURL(proxyURL)}, "Proxy Authentication Required"},
		"HTTP answer to HTTPS":          {strings.Replace(plain.URL, "http:", "https:", 1), &http.Transport{}, "HTTP response to HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.transport.CloseIdleConnections()
			_, f := newRequest(t, c.address, &http.Client{Transport: c.transport}).Do(t.Context())
			if f == nil || f.Temporary || !strings.Contains(f.Err.Error(), c.says) {
				t.Errorf("fault is %+v, want a permanent one with %q", f, c.says)
			}
		})
	}
}

// A client below that follows redirects has posted the secret to a stranger,
// whose token is not taken, nor what it says.
func TestAnswerFromAnotherURL(t *testing.T) {
	stranger := roundTrip(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"access_token": "strange", "message": "ha"}`)), Request: req}
		if req.URL.Host == "tokens.example" {
			resp.StatusCode, resp.Header = 307, http.Header{"Location": {"https://stranger.example/token"}}
		}
		return resp, nil
	})
	follower := &http.Client{Transport: stranger}
	client := &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.RequestURI = ""
		return follower.Do(req)
	})}
	tok, f := newRequest(t, endpointURL, client).Do(t.Context())
	if tok != nil || f == nil || f.Temporary || f.Description != "" || !strings.Contains(f.Err.Error(), "another URL") {
		t.Errorf("token %v, fault %+v", tok, f)
	}
	// By itself the exchange does not follow, and leaves the answer as it was.
	resp := &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/login"}}, Body: http.NoBody}
	_, f = newRequest(t, endpointURL, &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return resp, nil })}).Do(t.Context())
	if f == nil || f.Status != 302 || resp.Header.Get("Location") != "/login" {
		t.Errorf("fault %+v, Location %q", f, resp.Header.Get("Location"))
	}
}

// A proxy would read what goes to this machine in clear.
func TestNoProxyToLoopback(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	proxyURL, _ := url.Parse(proxy.URL)
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token": "tok"}`) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for name, c := range map[string]struct {
		proxy       func(*http.Request) (*url.URL, error)
		connections int32
	}{
		"a proxy":                          {http.ProxyURL(proxyURL), 2},
		"a proxy that cannot be told":      {func(*http.Request) (*url.URL, error) { return nil, errors.New("no proxy.pac") }, 2},
		"none for loopback, as by default": {http.ProxyFromEnvironment, 1},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{Proxy: c.proxy}
			defer transport.CloseIdleConnections()
			connections.Store(0)
			for range 2 {
				if _, f := newRequest(t, server.URL, &http.Client{Transport: transport}).Do(t.Context()); f != nil {
					t.Fatal(f.Err)
				}
			}
			if asked.Load() != 0 || connections.Load() != c.connections {
				t.Errorf("the proxy was asked %d times; %d connections, want %d", asked.Load(), connections.Load(), c.connections)
			}
		})
	}
}

// The caller's trace would be told the Authorization header.
func TestTraceOfTheCallerSeesNothing(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token": "tok"}`) }))
	defer server.Close()
	seen := func(what string) { t.Errorf("%s was seen", what) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { seen("GetConn") },
		ConnectStart:         func(string, string) { seen("ConnectStart") },
		ConnectDone:          func(string, string, error) { seen("ConnectDone") },
		DNSStart:             func(httptrace.DNSStartInfo) { seen("DNSStart") },
		TLSHandshakeStart:    func() { seen("TLSHandshakeStart") },
		WroteHeaderField:     func(name string, _ []string) { seen(name) },
		GotFirstResponseByte: func() { seen("GotFirstResponseByte") },
	})
	type key struct{}
	if _, f := newRequest(t, server.URL, server.Client()).Do(ctx); f != nil {
		t.Fatal(f.Err)
	}
	var value any
	client := &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		value = req.Context().Value(key{})
		return nil, io.EOF
	})}
	newRequest(t, endpointURL, client).Do(context.WithValue(ctx, key{}, "kept"))
	if value != "kept" {
		t.Errorf("the context's other values are %v, want kept", value)
	}
}

// The configured client, else the context's, is used as a copy.
func TestClient(t *testing.T) {
	field, inContext := saying(200, `{"access_token": "field"}`), saying(200, `{"access_token": "context"}`)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, inContext)
	for want, client := range map[string]*http.Client{"field": field, "context": nil} {
		tok, f := newRequest(t, endpointURL, client).Do(ctx)
		if f != nil || tok.AccessToken != want {
			t.Errorf("token %v, fault %+v, want %s", tok, f, want)
		}
	}
	if field.CheckRedirect != nil || field.Timeout != 0 || fmt.Sprintf("%T", field.Transport) != "exchange.roundTrip" {
		t.Errorf("the client became %+v", field)
	}
}

// slow is a body of a byte each second.
type slow struct{ ctx context.Context }

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, " "), nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

// How long a call may take: the client's timeout, by default 15 s, and the
// caller's context. The error says which, where, and of what.
func TestCallEnds(t *testing.T) {
	why := fmt.Errorf("no token within FetchTimeout (2s): %w", context.DeadlineExceeded)
	for _, c := range []struct {
		name    string
		client  time.Duration
		context func(context.Context) (context.Context, context.CancelFunc)
		want    time.Duration
		is      error
		says    string
	}{
		{"default timeout", 0, context.WithCancel, 15 * time.Second, context.DeadlineExceeded, "no answer within 15s"},
		{"the client's timeout", 3 * time.Second, context.WithCancel, 3 * time.Second, context.DeadlineExceeded, "no answer within 3s"},
		{"the caller's, with a cause", 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 2*time.Second, why)
		}, 2 * time.Second, why, "no token within FetchTimeout (2s)"},
		{"the caller leaves", 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, 2 * time.Second, context.Canceled, "context canceled"},
		{"a cause that holds the secret", 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 2*time.Second, errors.New(testSecret))
		}, 2 * time.Second, context.DeadlineExceeded, "context deadline exceeded"},
	} {
		for _, drip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, drip %v", c.name, drip), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := &http.Client{Timeout: c.client, Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
						if drip {
							return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(&slow{req.Context()})}, nil
						}
						<-req.Context().Done()
						return nil, req.Context().Err()
					})}
					ctx, cancel := c.context(t.Context())
					defer cancel()
					start := time.Now()
					_, f := newRequest(t, endpointURL, client).Do(ctx)
					wantHidden(t, f, testSecret)
					if took := time.Since(start); took != c.want || !f.Temporary || !errors.Is(f.Err, c.is) || !strings.Contains(f.Err.Error(), c.says) {
						t.Errorf("after %v fault %+v, want %q after %v", took, f, c.says, c.want)
					}
					if !drip && !strings.Contains(f.Err.Error(), "tokens.example") {
						t.Errorf("%v does not say where", f.Err)
					}
					if timeout := Timeout(f.Err); timeout != (c.is != context.Canceled) {
						t.Errorf("Timeout is %v of %v", timeout, f.Err)
					}
				})
			})
		}
	}
}
