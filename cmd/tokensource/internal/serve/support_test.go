package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/config"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
	"github.com/tokensource-go/tokensource/sandbox"
)

const secret = "client secret: 100%+more" // what URL-encoding changes

// served is a running server in front of a sandbox.
type served struct {
	*sandbox.Sandbox
	url    string
	secret string
	socket string
	log    *output
	stop   func() error
}

// output is what may be written and read at the same time.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start serves the four sources of a sandbox, with a listener on loopback and a
// unix socket.
func start(t testing.TB, sandboxConfig sandbox.Config, change ...func(*config.Source)) *served {
	t.Helper()
	sb := sandbox.New(sandboxConfig)
	t.Cleanup(sb.Close)
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clientSecret, err := gate.ReadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Sandbox: sb, secret: path, log: &output{}, socket: filepath.Join(t.TempDir(), "s")}
	creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	sources := []config.Source{
		{Name: "blink", Provider: &tokensource.Blink{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()}},
		{Name: "flinks", Provider: &tokensource.Flinks{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client(), Reusable: sandboxConfig.FlinksReusable}},
		{Name: "blackhawk", Scope: "a b", Provider: &tokensource.Blackhawk{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client(), Scope: "a b"}},
		{Name: "other", Provider: &tokensource.Endpoint{
			Provider: "other", URL: sb.TokenURL(sandbox.Flinks), Credentials: creds, HTTPClient: sb.Client(), Lifetime: time.Minute,
		}},
	}
	for i := range sources {
		for _, f := range change {
			f(&sources[i])
		}
	}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := serve.New(log, clientSecret, nil, sources...)
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listen.Open(listen.Options{Addr: "127.0.0.1:0", Socket: s.socket}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.url = listeners[0].URL
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listeners) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// overSocket is a client of the unix socket.
func (s *served) overSocket() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func do(t testing.TB, client *http.Client, req *http.Request) reply {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.body) // what is not JSON has no fields
	return r
}

// request is a POST of a form with the secret by HTTP Basic.
func (s *served) request(t testing.TB, path string, form url.Values) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("any", url.QueryEscape(secret))
	return req
}

func (s *served) post(t testing.TB, path string, form url.Values) reply {
	t.Helper()
	return do(t, http.DefaultClient, s.request(t, path, form))
}

func (s *served) token(t testing.TB, name string) reply {
	t.Helper()
	return s.post(t, "/"+name+"/token", url.Values{"grant_type": {"client_credentials"}})
}

func (s *served) get(t testing.TB, path string) reply {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, http.DefaultClient, req)
}

// accepts reports whether a provider's API takes a token.
func (s *served) accepts(t testing.TB, p sandbox.Provider, token any) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.APIURL(p), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", fmt.Sprint("Bearer ", token))
	return do(t, s.Client(), req).status == http.StatusOK
}

var grant = url.Values{"grant_type": {"client_credentials"}}

// withReuse has a request tell whether it went over a connection that was there.
func withReuse(ctx context.Context, reused *bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { *reused = i.Reused }})
}

// eventually looks again until it is so: for what takes a while in a real
// server.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); !so(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that within a minute")
		}
	}
}

// inProcess serves Blink's tokens in a bubble.
func inProcess(t *testing.T, secretFile string, sb *sandbox.Sandbox) http.Handler {
	t.Helper()
	clientSecret, err := gate.ReadSecret(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	server, err := serve.New(slog.New(slog.DiscardHandler), clientSecret, nil, config.Source{Name: "blink", Provider: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), HTTPClient: sb.Client(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return server.Handler()
}

// askInProcess makes a token request.
func askInProcess(handler http.Handler, secret string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/blink/token", strings.NewReader(grant.Encode()))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("any", url.QueryEscape(secret))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}
