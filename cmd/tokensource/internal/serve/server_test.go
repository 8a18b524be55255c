package serve_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
	"github.com/tokensource-go/tokensource/sandbox"
)

// A request that waits for a token when the server is stopped gets it.
func TestDrain(t *testing.T) {
	s := start(t, sandbox.Config{})
	s.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 500 * time.Millisecond})
	answered := make(chan reply)
	go func() { answered <- s.token(t, "blink") }()
	eventually(t, func() bool { return s.Ledger()[sandbox.Blink].TokenRequests == 1 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if r := <-answered; r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.text)
	}
	if _, err := http.Get(s.url + "/healthz"); err == nil {
		t.Error("it still listens")
	}
	if _, err := os.Stat(s.socket); err == nil {
		t.Error("the socket is still there")
	}
}

// A secret that is rotated in its file is used without a restart.
func TestRotatedCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	creds := tokensource.FileCredentials(write("id", sandbox.ID), write("secret", "an old secret"))
	s := start(t, sandbox.Config{}, func(c *config.Source) {
		if b, ok := c.Provider.(*tokensource.Blackhawk); ok {
			b.Credentials = creds
		}
	})
	r := s.token(t, "blackhawk")
	if r.status != http.StatusInternalServerError || !strings.Contains(r.text, "credentials missing or rejected") || strings.Contains(r.text, "an old secret") {
		t.Errorf("%d %s", r.status, r.text)
	}
	write("secret", sandbox.Secret)
	eventually(t, func() bool { return s.token(t, "blackhawk").status == http.StatusOK })
}

// writeCertificate makes one for 127.0.0.1.
func writeCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	roots = x509.NewCertPool()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: der}} {
		text := pem.EncodeToMemory(block)
		roots.AppendCertsFromPEM(text)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert"), filepath.Join(dir, "key"), roots
}

// With a certificate other machines may ask: any Host will do then, the issuer
// and the cookie know of TLS, and the metrics take the secret.
func TestAnotherAddressOverTLS(t *testing.T) {
	certFile, keyFile, roots := writeCertificate(t)
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()
	clientSecret, err := gate.MakeSecret("test")
	if err != nil {
		t.Fatal(err)
	}
	defer clientSecret.Remove()
	text, err := os.ReadFile(clientSecret.Path)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(bytes.TrimSpace(text))
	server, err := serve.New(slog.New(slog.DiscardHandler), clientSecret, nil, config.Source{Name: "blink", Provider: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), BaseURL: sb.URL, HTTPClient: sb.Client(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listen.Open(listen.Options{Addr: "0.0.0.0:0", CertFile: certFile, KeyFile: keyFile}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(t.Context(), listeners) }()
	t.Cleanup(func() { // t.Context has ended
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ask := func(method, path string, form url.Values, secret string) reply {
		t.Helper()
		req, err := http.NewRequest(method, "https://127.0.0.1:"+port+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "tokens.internal"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if secret != "" {
			req.SetBasicAuth("any", secret)
		}
		return do(t, client, req)
	}
	if r := ask("POST", "/blink/token", grant, secret); r.status != http.StatusOK {
		t.Errorf("token: %d %s", r.status, r.text)
	}
	if r := ask("GET", "/.well-known/oauth-authorization-server/blink", nil, ""); r.body["issuer"] != "https://tokens.internal/blink" {
		t.Errorf("metadata: %s", r.text)
	}
	if r := ask("GET", "/metrics", nil, ""); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" || strings.Contains(r.text, "blink") {
		t.Errorf("metrics without the secret: %d", r.status)
	}
	if r := ask("GET", "/metrics", nil, secret); r.status != http.StatusOK || !strings.Contains(r.text, "blink") {
		t.Errorf("metrics with the secret: %d", r.status)
	}
	if r := ask("POST", "/login", url.Values{"client_secret": {secret}}, ""); !strings.Contains(r.header.Get("Set-Cookie"), "; Secure") {
		t.Errorf("cookie: %d %s", r.status, r.header.Get("Set-Cookie"))
	}
	plain, err := http.Post("http://127.0.0.1:"+port+"/blink/token", "", nil)
	if err == nil {
		plain.Body.Close()
	}
	if err == nil && plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %s", plain.Status)
	}
}
