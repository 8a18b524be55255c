package sandbox

// The sandbox on the network: an HTTPS server, with a certificate of its own
// and, if the configuration says so, an ear for the case of one header.

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// New is [Start] for tests. Like httptest.NewTLSServer it panics if it cannot
// listen.
func New(config Config) *Sandbox { return must(Start(config)) }

// Start starts a sandbox that listens at Config.Addr, over TLS; Close it. The
// error is that of net.Listen.
func Start(config Config) (*Sandbox, error) {
	l, err := net.Listen("tcp", cmp.Or(config.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("sandbox: choose another Addr: %w", err)
	}
	s := NewInProcess(config)
	host, _, _ := net.SplitHostPort(config.Addr)
	certificate, authority := newCertificate(host)
	s.authority = encodePEM(authority)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	serverTLS := &tls.Config{Certificates: []tls.Certificate{certificate}}
	clientTLS := &tls.Config{RootCAs: pool}
	if config.RequireClientCert {
		serverTLS.ClientAuth, serverTLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
		clientTLS.Certificates = serverTLS.Certificates
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.server = &httptest.Server{
		Listener: listener{tls.NewListener(l, serverTLS), config.ExactHeaderCase},
		Config: &http.Server{
			Handler:     s.Handler,
			BaseContext: func(net.Listener) context.Context { return ctx },
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, c)
			},
		},
	}
	s.server.Start()
	s.URL = "https://" + dialable(l.Addr())
	s.transport = &http.Transport{TLSClientConfig: clientTLS}
	return s, nil
}

// dialable is the address at which a client on this machine finds a listener.
func dialable(addr net.Addr) string {
	if tcp := addr.(*net.TCPAddr); tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// listener and conn watch the decrypted bytes for the name of the header
// response_type: net/http would tell it in canonical case only.
type listener struct {
	net.Listener
	watch bool
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.watch {
		return c, err
	}
	return &conn{Conn: c}, nil
}

type connKey struct{}

var responseTypeLine = regexp.MustCompile("(?i)\n(" + responseTypeName + "):")

type conn struct {
	net.Conn
	tail []byte       // of what was read before; one goroutine reads at a time
	name atomic.Value // the name of the latest such header, a string
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	seen := append(c.tail, p[:n]...)
	if name := responseTypeLine.FindSubmatch(seen); name != nil {
		c.name.Store(string(name[1]))
	}
	c.tail = append(c.tail[:0], seen[max(0, len(seen)-len(responseTypeName)-1):]...)
	return n, err
}

// responseType is the header response_type. If the case is not watched, or
// cannot be behind a server of the caller's, it counts as the demanded one.
func responseType(r *http.Request) spelled {
	h := spelled{responseTypeName, strings.Join(r.Header.Values(responseTypeName), ",")}
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		if name, ok := c.name.Load().(string); ok {
			h.name = name
		}
	}
	return h
}

func (s *Sandbox) serveHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a := s.answer(r, request, responseType(r))
	body, err := a.begin(r.Context())
	if err != nil {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	defer body.Close()
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	flush := http.NewResponseController(w).Flush
	chunk := make([]byte, 32<<10)
	for {
		n, err := body.Read(chunk)
		if _, gone := w.Write(chunk[:n]); gone != nil || err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		flush() // without a Content-Length this makes it chunked
	}
}
