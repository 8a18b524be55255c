package sandbox

// The sandbox on the network: an HTTPS server on loopback, with a certificate
// of its own and an ear for the case of one header.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"time"
)

// New starts a sandbox that listens on loopback, over TLS; Close it. Like
// httptest.NewTLSServer it panics where it cannot listen.
func New(config Config) *Sandbox {
	s := NewInProcess(config)
	certificate, pool := newCertificate()
	serverTLS := &tls.Config{Certificates: []tls.Certificate{certificate}}
	clientTLS := &tls.Config{RootCAs: pool}
	if config.RequireClientCert {
		serverTLS.ClientAuth, serverTLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
		clientTLS.Certificates = serverTLS.Certificates
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.server = httptest.NewUnstartedServer(s.Handler)
	s.server.Listener = listener{tls.NewListener(s.server.Listener, serverTLS)}
	s.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.server.Start()
	s.URL = "https://" + s.server.Listener.Addr().String()
	s.transport = &http.Transport{TLSClientConfig: clientTLS}
	return s
}

// newCertificate is for servers on loopback and for clients; the pool trusts it.
func newCertificate() (tls.Certificate, *x509.CertPool) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "tokensource sandbox"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:     []string{"localhost"},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	leaf := must(x509.ParseCertificate(der))
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// listener and conn watch the decrypted bytes for the name of the header
// response_type: net/http would tell it in canonical case only.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

type connKey struct{}

const responseTypeName = "\nresponse_type:"

var anyResponseTypeName = regexp.MustCompile("(?i)" + responseTypeName)

type conn struct {
	net.Conn
	tail  []byte      // of what was read before; one goroutine reads at a time
	exact atomic.Bool // the latest header of that name was in that case
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	seen := append(c.tail, p[:n]...)
	if name := anyResponseTypeName.Find(seen); name != nil {
		c.exact.Store(string(name) == responseTypeName)
	}
	c.tail = append(c.tail[:0], seen[max(0, len(seen)-len(responseTypeName)+1):]...)
	return n, err
}

// responseType returns the header response_type if its name came in that case.
// Behind another server than ours the case cannot be known.
func responseType(r *http.Request) string {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && !c.exact.Load() {
		return ""
	}
	return r.Header.Get("response_type")
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
		flush()
	}
}
