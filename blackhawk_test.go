package tokensource_test

// Blackhawk's wire: its own header, raw Basic, and client certificates. What a
// fake endpoint cannot show, a real TLS server does.

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

const blackhawkHost = "certification.promob2b.bhnapi.com"

// The pair of the document's curl sample. The other sample's Authorization is an
// illustration: no colon is in it, and its padding is lost.
var blackhawkClient = tokensource.StaticCredentials("0oaqegio11yWwaU130h7", "DBdna6ungumBacgDRT8bvQa5xMRqEMSl5OyemsUt")

// The token's own claims say 3600 s: only expires_in counts.
func TestBlackhawkGolden(t *testing.T) {
	for _, c := range []struct{ request, base, path, authorization string }{
		{"blackhawk_request.http", "https://" + blackhawkHost, "", "Basic LP0cdWQxxW1zZUlXe4POLTMrwVd7FDLaopD4aI4qaZ0YHNNsBVCUJCL8YPJ9qQ1VcuYHN3a2M6jjyJNMsA"},
		{"blackhawk_curl_request.http", blackhawkHost, "/authentication/auth", ""},
	} {
		inBubble(t, c.request, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blackhawk_response.http", http.StatusOK))
			b := &tokensource.Blackhawk{BaseURL: c.base, TokenPath: c.path, Credentials: blackhawkClient, HTTPClient: e.client()}
			tok, err := b.Token()
			checkToken(t, tok, err, "blackhawk_response.http", "Bearer", time.Now().Add(600*time.Second))
			if e.request.ContentLength != 29 {
				t.Errorf("Content-Length is %d, the sample says 29", e.request.ContentLength)
			}
			if c.authorization != "" {
				e.request.Header.Set("Authorization", c.authorization)
			}
			checkRequest(t, e, c.request)
		})
	}
}

func TestBlackhawkScope(t *testing.T) {
	for scope, body := range map[string]string{
		"":                 "grant_type=client_credentials",
		"*/default/*":      "grant_type=client_credentials&scope=%2A%2Fdefault%2F%2A",
		"one two&three=4+": "grant_type=client_credentials&scope=one+two%26three%3D4%2B",
	} {
		inBubble(t, scope, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blackhawk_response.http", http.StatusOK))
			b := &tokensource.Blackhawk{BaseURL: blackhawkHost, Scope: scope, Credentials: blackhawkClient, HTTPClient: e.client()}
			if _, err := b.Token(); err != nil {
				t.Fatal(err)
			}
			if string(e.sent) != body {
				t.Errorf("sent %q, want %q", e.sent, body)
			}
		})
	}
}

// The document writes {baseUrl} with and without a scheme.
func TestBlackhawkURL(t *testing.T) {
	for _, c := range []struct{ name, base, path, want string }{
		{"scheme", "https://bhn.example", "", "https://bhn.example/api/auth"},
		{"scheme in upper case", "HTTPS://bhn.example", "", "https://bhn.example/api/auth"},
		{"no scheme", "bhn.example", "", "https://bhn.example/api/auth"},
		{"no scheme, port", "bhn.example:8443", "", "https://bhn.example:8443/api/auth"},
		{"no scheme, loopback", "localhost:8443", "", "https://localhost:8443/api/auth"},
		{"slash at the end", "https://bhn.example/", "", "https://bhn.example/api/auth"},
		{"path in the base", "bhn.example/gateway/", "", "https://bhn.example/gateway/api/auth"},
		{"TokenPath", "https://bhn.example", "/authentication/auth", "https://bhn.example/authentication/auth"},
		{"TokenPath without a slash", "bhn.example", "authentication/auth", "https://bhn.example/authentication/auth"},
		{"TokenPath cannot change the host", "bhn.example", "//elsewhere.example/auth", "https://bhn.example/elsewhere.example/auth"},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blackhawk_response.http", http.StatusOK))
			b := &tokensource.Blackhawk{BaseURL: c.base, TokenPath: c.path, Credentials: blackhawkClient, HTTPClient: e.client()}
			if _, err := b.Token(); err != nil {
				t.Fatal(err)
			}
			if got := e.request.URL.String(); got != c.want {
				t.Errorf("requested %s, want %s", got, c.want)
			}
		})
	}
}

// On HTTP/1.1 the name of a header goes out as it is in the map: net/http would
// make Response_type of it. And Basic carries the pair raw: x/oauth2 URL-escapes
// it first, and no special character survives.
func TestBytesOnTheWire(t *testing.T) {
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) {
			var wire recorder
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token": "tok"}`) })
			donor := httptest.NewTLSServer(handler) // its certificate, and a client that trusts it
			defer donor.Close()
			server := httptest.NewUnstartedServer(handler)
			server.Listener = recordingListener{tls.NewListener(server.Listener, donor.TLS), &wire}
			server.Start()
			defer server.Close()

			client := donor.Client()
			defer client.CloseIdleConnections()
			if _, err := x.source("https://"+server.Listener.Addr().String(), tokensource.StaticCredentials(testID, testSecret), client).Token(); err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(wire.String(), "\r\n\r\n")
			lines := strings.Split(head, "\r\n")
			want := []string{"Accept: application/json"}
			switch x.name {
			case "Blackhawk":
				want = append(want, "response_type: token id_token")
				fallthrough
			case "Flinks":
				want = append(want, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(testID+":"+testSecret)), "Content-Length: 29")
				if body != "grant_type=client_credentials" {
					t.Errorf("body is %q", body)
				}
			}
			for _, line := range want {
				if !strings.Contains(head+"\r\n", "\r\n"+line+"\r\n") {
					t.Errorf("no line %q in\n%s", line, head)
				}
			}
			if !strings.HasPrefix(lines[0], "POST /") || !strings.HasSuffix(lines[0], " HTTP/1.1") {
				t.Errorf("request line is %q", lines[0])
			}
		})
	}
}

// recorder keeps the bytes that a server reads, also while it waits for more.
type recorder struct {
	mu   sync.Mutex
	read strings.Builder
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read.String()
}

// recordingListener records what its connections read.
type recordingListener struct {
	net.Listener
	to *recorder
}

func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return recordingConn{conn, l.to}, err
}

type recordingConn struct {
	net.Conn
	to *recorder
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.read.Write(p[:n])
	return n, err
}

// Some of BHN's products demand a client certificate: the caller's http.Client
// brings it to the token endpoint.
func TestMutualTLS(t *testing.T) {
	_, _, body := golden(t, "blackhawk_response.http")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if len(req.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusForbidden)
		}
		io.WriteString(w, body)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	server.StartTLS()
	defer server.Close()
	with := server.Client()
	without := &http.Client{Transport: with.Transport.(*http.Transport).Clone()}
	with.Transport.(*http.Transport).TLSClientConfig.Certificates = server.TLS.Certificates

	b := &tokensource.Blackhawk{BaseURL: server.URL, Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: with}
	if _, err := b.Token(); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
	b.HTTPClient = without
	_, err := b.Token()
	want := wantError{says: "tls: certificate required"} // to try again would not help
	want.Provider = "blackhawk"
	checkFailure(t, nil, b, err, want)
}
