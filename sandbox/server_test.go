package sandbox_test

// What only the network has: connections, certificates, the case of a header.

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func TestHandlerBehindAnotherServer(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	server := httptest.NewServer(sb.Handler)
	defer server.Close()
	sb.URL = server.URL
	for _, p := range sandbox.Providers() {
		resp, err := server.Client().Do(tokenRequest(t, sb, p))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Errorf("%s: got %s", p, resp.Status)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	sb := sandbox.New(sandbox.Config{RequireClientCert: true})
	defer sb.Close()
	newToken(t, sb, sandbox.Blackhawk)

	bare := sb.Client().Transport.(*http.Transport).Clone()
	defer bare.CloseIdleConnections()
	bare.TLSClientConfig.Certificates = nil
	resp, err := (&http.Client{Transport: bare}).Do(tokenRequest(t, sb, sandbox.Blackhawk))
	if err == nil {
		resp.Body.Close()
		t.Errorf("got %s without a client certificate", resp.Status)
	}
	if got := sb.Ledger()[sandbox.Blackhawk].TokenRequests; got != 1 {
		t.Errorf("%d requests arrived, want 1", got)
	}
}

func TestCloseBreaksCallsUnderWay(t *testing.T) {
	sb := sandbox.New(sandbox.Config{})
	sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Drip: time.Hour})
	sb.Always(sandbox.Flinks, sandbox.Token, sandbox.Fault{Delay: time.Hour})
	resp, err := sb.Client().Do(tokenRequest(t, sb, sandbox.Blink))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	delayed := tokenRequest(t, sb, sandbox.Flinks)
	failed := make(chan error)
	go func() {
		resp, err := sb.Client().Do(delayed)
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	for sb.Ledger()[sandbox.Flinks].TokenRequests == 0 {
		runtime.Gosched()
	}
	sb.Close()
	sb.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the dripping answer ended well")
	}
	if <-failed == nil {
		t.Error("the delayed answer ended well")
	}
}

// Fault warns of it: net/http does this by itself; in process nothing does.
func TestBrokenGetIsRepeatedOverTheNetwork(t *testing.T) {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()
	token := newToken(t, sb, sandbox.Blink) // and leaves a connection to reuse
	sb.Script(sandbox.Blink, sandbox.API, sandbox.Fault{Break: true}, sandbox.Fault{Status: 202})
	r := request(t, sb.APIURL(sandbox.Blink), "", "")
	r.Method, r.Body, r.GetBody = http.MethodGet, nil, nil
	r.Header.Set("Authorization", "Bearer "+token)
	if resp, _ := do(t, sb, r); resp.StatusCode != http.StatusAccepted {
		t.Errorf("got %s, want the second fault's", resp.Status)
	}
}

// The name of the header has an underscore and must go out in exactly this
// case; Go's Header.Set makes it Response_type.
func TestHeaderCase(t *testing.T) {
	const missing = "a proxy such as nginx drops names with an underscore"
	for _, test := range []struct {
		name, value string
		reason      string // with exact case; with any case, unless it is the same
		lax         string
	}{
		{"response_type", "token id_token", "", ""},
		{"Response_type", "token id_token", "came as Response_type: it must be sent in exactly this case", ""},
		{"RESPONSE_TYPE", "token id_token", "came as RESPONSE_TYPE: it must be sent in exactly this case", ""},
		{"Response-Type", "token id_token", missing, missing},
		{"X-Other", "1", missing, missing},
		{"response_type", "token", "must be: token id_token", "must be: token id_token"},
		{"response_type", "token id_token", "", ""},
	} {
		for _, exact := range []bool{true, false} {
			reason := test.lax
			if exact {
				reason = test.reason
			}
			everywhere(t, sandbox.Config{ExactHeaderCase: exact}, func(t *testing.T, sb *sandbox.Sandbox) {
				newToken(t, sb, sandbox.Blackhawk) // over the same connection: each request counts for itself
				r := tokenRequest(t, sb, sandbox.Blackhawk)
				delete(r.Header, "response_type")
				r.Header[test.name] = []string{test.value}
				resp, body := do(t, sb, r)
				if reason == "" && resp.StatusCode == http.StatusOK {
					return
				}
				if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"errorCode":"E0000021"`) ||
					!strings.Contains(body, "header response_type") || !strings.Contains(body, reason) {
					t.Errorf("%s: %s, exact: %t: got %s %s, want %q", test.name, test.value, exact, resp.Status, body, reason)
				}
			})
		}
	}
}

// The server reads 4096 bytes at a time: wherever the border falls, the case of
// the name is seen.
func TestHeaderCaseAcrossReads(t *testing.T) {
	sb := sandbox.New(sandbox.Config{ExactHeaderCase: true})
	defer sb.Close()
	for filler := 3600; filler < 4100; filler += 3 {
		for name, want := range map[string]int{"response_type": 200, "Response_type": 400} {
			r := tokenRequest(t, sb, sandbox.Blackhawk)
			//lint:ignore SA1008 the spelling is the point
			r.Header = http.Header{name: r.Header["response_type"], "A-Filler": {strings.Repeat("x", filler)},
				"Accept": r.Header["Accept"], "Authorization": r.Header["Authorization"], "Content-Type": r.Header["Content-Type"]}
			if resp, _ := do(t, sb, r); resp.StatusCode != want {
				t.Fatalf("%s behind %d bytes: got %s", name, filler, resp.Status)
			}
		}
	}
}

// As nginx does it by default, before a program that does all right.
func TestProxyThatDropsTheHeader(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("response_type")
		sb.Handler.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	blackhawk := &tokensource.Blackhawk{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     proxy.URL,
	}
	_, err := blackhawk.Token()
	if err == nil || !strings.Contains(err.Error(), "response_type") || !strings.Contains(err.Error(), "nginx") {
		t.Errorf("got %v, want an error that names the header and the proxy", err)
	}
}

// For a program that is not in this process all there is, is a file and a URL.
func TestCertificatePEM(t *testing.T) {
	sb, other := sandbox.New(sandbox.Config{}), sandbox.New(sandbox.Config{})
	defer sb.Close()
	defer other.Close()
	for _, test := range []struct {
		name string
		pem  []byte
		good bool
	}{
		{"its own", sb.CertificatePEM(), true},
		{"of another sandbox", other.CertificatePEM(), false},
		{"of a sandbox in process", sandbox.NewInProcess(sandbox.Config{}).CertificatePEM(), false},
	} {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(test.pem)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		resp, err := client.Do(tokenRequest(t, sb, sandbox.Blink))
		if err == nil {
			resp.Body.Close()
		}
		client.CloseIdleConnections()
		if (err == nil) != test.good {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestAddr(t *testing.T) {
	first := sandbox.New(sandbox.Config{Addr: "localhost:0"})
	address := strings.TrimPrefix(first.URL, "https://")
	newToken(t, first, sandbox.Blink)
	if sb, err := sandbox.Start(sandbox.Config{Addr: address}); err == nil {
		sb.Close()
		t.Error("two sandboxes listen at one address")
	} else if !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "Addr") {
		t.Errorf("got %v, want an error that names the address and the field", err)
	}
	first.Close()
	again := sandbox.New(sandbox.Config{Addr: address})
	defer again.Close()
	if again.URL != first.URL {
		t.Errorf("got %s, want %s again", again.URL, first.URL)
	}
	newToken(t, again, sandbox.Blink)

	everyInterface := sandbox.New(sandbox.Config{Addr: ":0"})
	defer everyInterface.Close()
	newToken(t, everyInterface, sandbox.Blink)
}
