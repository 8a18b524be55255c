package blocks

// The world of the blocks: whatever host they talk to over TLS is a sandbox or
// the acme of the README, the credentials are the sandbox's, and what they leave
// in their variables has to work.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

var (
	world     = sandbox.NewInProcess(sandbox.Config{})
	creds     = tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	cert      tls.Certificate
	secrets   string // a directory
	redisAddr string
)

func TestMain(m *testing.M) {
	server := httptest.NewTLSServer(http.HandlerFunc(serve))
	cert = server.TLS.Certificates[0]
	dialer := &tls.Dialer{Config: server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	dialer.Config.ServerName = "example.com" // httptest's
	http.DefaultTransport.(*http.Transport).DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, server.Listener.Addr().String())
	}
	redis, err := miniredis.Run()
	must(err)
	redisAddr = redis.Addr()
	home, err := os.MkdirTemp("", "")
	must(err)
	secrets = filepath.Join(home, "secrets")
	must(os.Mkdir(secrets, 0o700))
	for name, value := range map[string]string{"bhn-id": sandbox.ID, "bhn-secret": sandbox.Secret} {
		must(os.WriteFile(filepath.Join(secrets, name), []byte(value+"\n"), 0o600))
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CACHE_HOME": filepath.Join(home, "cache"), "LocalAppData": home, // of os.UserCacheDir
		"BLINK_API_KEY": sandbox.ID, "BLINK_SECRET_KEY": sandbox.Secret,
		"FLINKS_USERNAME": sandbox.ID, "FLINKS_PASSWORD": sandbox.Secret,
		"ACME_ID": sandbox.ID, "ACME_SECRET": sandbox.Secret,
	} {
		must(os.Setenv(name, value))
	}
	code := m.Run()
	redis.Close()
	server.Close()
	must(os.RemoveAll(home))
	os.Exit(code)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// serve is acme at its hosts and the sandbox everywhere else.
func serve(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	switch {
	case !strings.HasSuffix(r.Host, ".acme.example"):
		world.Handler.ServeHTTP(w, r)
	case r.URL.Path == "/oauth/token" && id == sandbox.ID && secret == sandbox.Secret && r.PostFormValue("grant_type") == "client_credentials":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "acme-token", "token_type": "Bearer", "expires_in": 600}`)
	case r.Header.Get("Authorization") != "Bearer acme-token":
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// run runs a block's statements in a world of their own.
func run(t *testing.T, block func(context.Context, tokensource.Credentials, *tokensource.Blink, *tokensource.Flinks,
	*tokensource.Cache, *clientcredentials.Config, tokensource.Store, tls.Certificate, string, io.Reader)) {
	world.Reset()
	blink := &tokensource.Blink{Credentials: creds}
	config := &clientcredentials.Config{ClientID: sandbox.ID, ClientSecret: sandbox.Secret, TokenURL: "https://auth.acme.example/oauth/token"}
	block(t.Context(), creds, blink, &tokensource.Flinks{Credentials: creds, BaseURL: "https://flinks.example"},
		&tokensource.Cache{Source: blink}, config, &storetest.Memory{}, cert, "https://marketplace.bhnapi.com", strings.NewReader("{}"))
}

// works looks at the variables of a block.
func works(t *testing.T, variables ...any) {
	t.Helper()
	looked := false
	for _, v := range variables {
		var err error
		switch v := v.(type) {
		case error:
			err = v
		case *http.Client:
			err = reachesAnAPI(v)
		case *http.Response:
			if v == nil {
				err = errors.New("no response")
			} else if v.Body.Close(); v.StatusCode != http.StatusOK {
				err = errors.New(v.Status)
			}
		case *http.Transport: // one that was cloned has the others' settings
			if len(v.TLSClientConfig.Certificates) != 1 || v.Proxy == nil || v.TLSHandshakeTimeout == 0 {
				err = errors.New("the transport has no certificate, or not the settings of http.DefaultTransport")
			}
		case *oauth2.Token:
			if v == nil || v.AccessToken == "" {
				err = errors.New("no token")
			}
		case *tokensource.Cache:
			_, err = v.Token()
			t.Cleanup(func() { v.Close() })
		case oauth2.TokenSource:
			_, err = v.Token()
		default:
			continue
		}
		looked = true
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	if !looked {
		t.Error("this block leaves nothing to look at")
	}
}

// reachesAnAPI tells whether a client's requests are accepted by one of the
// APIs that take a token.
func reachesAnAPI(client *http.Client) error {
	var failures error
	for _, url := range []string{
		"https://secure.blinkpayment.co.uk/api/pay/v1/intents",
		"https://flinks.example/api/v1/sessions/initiate",
		"https://marketplace.bhnapi.com/rewardsOrderProcessing/v1/submitEgiftBulk",
		"https://auth.acme.example/orders",
	} {
		resp, err := client.Post(url, "application/json", strings.NewReader("{}"))
		if err == nil {
			if resp.Body.Close(); resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %s", url, resp.Status)
		}
		failures = errors.Join(failures, err)
	}
	return failures
}
