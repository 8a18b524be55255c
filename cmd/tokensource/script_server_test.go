package main

// Servers that the sandbox cannot be: with another certificate, or behind a
// proxy.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokensource-go/tokensource/sandbox"
)

// startServer KIND starts the fake providers behind a certificate of blink.test:
// one that is good, has expired, or will soon. Its URL is in SERVER, with an
// address in SERVER_ADDRESS. The kind "plain" has no TLS.
func startServer(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewUnstartedServer(sandbox.NewInProcess(sandbox.Config{}).Handler)
	ts.Defer(server.Close)
	port := func() string {
		_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
		return port
	}
	ts.Setenv("SERVER", "https://blink.test:"+port())
	ts.Setenv("SERVER_ADDRESS", "https://127.0.0.1:"+port())
	if args[0] == "plain" {
		server.Start()
		return
	}
	left, ok := map[string]time.Duration{"good": 90 * 24 * time.Hour, "expired": -time.Hour, "soon": 5*24*time.Hour + time.Minute}[args[0]]
	if !ok {
		ts.Fatalf("no such server")
	}
	certificate, err := certificateFor("blink.test", left)
	ts.Check(err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	ts.Check(os.WriteFile(ts.MkAbs("server.pem"), block, 0o600))
	ts.Setenv(caFileVar, ts.MkAbs("server.pem"))
}

func certificateFor(host string, left time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{host},
		NotBefore:             time.Now().Add(-365 * 24 * time.Hour),
		NotAfter:              time.Now().Add(left),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// startProxy [USER:PASSWORD] starts a proxy that takes every host for this
// machine, and sets HTTPS_PROXY. With an argument it wants those credentials,
// which the variable does not have.
func startProxy(ts *testscript.TestScript, _ bool, args []string) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(args) > 0 {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		_, port, _ := strings.Cut(r.Host, ":")
		to, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go func() { io.Copy(to, buffered) }()
		io.Copy(from, to)
	}))
	ts.Defer(proxy.Close)
	u, err := url.Parse(proxy.URL)
	ts.Check(err)
	u.User = url.UserPassword("proxy-user", "proxy-password")
	ts.Setenv("HTTPS_PROXY", u.String())
}
