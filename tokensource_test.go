package tokensource_test

// NewClient: what it puts around a source, and where the token then goes.

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// newWorldClient is a NewClient whose requests end up in a world.
func newWorldClient(t *testing.T, src oauth2.TokenSource) (*http.Client, *world) {
	w, client := newWorld(t), tokensource.NewClient(src)
	client.Transport.(*tokensource.Transport).Base = w
	return client, w
}

func TestNewClientCaches(t *testing.T) {
	source, own, pooled := new(scriptedSource), new(scriptedSource), new(scriptedSource)
	cache := &tokensource.Cache{Source: pooled}
	if tok, err := cache.Token(); err != nil || tok.AccessToken != "token-1" {
		t.Fatal(tok, err)
	}
	for _, tt := range []struct {
		name   string
		src    oauth2.TokenSource
		source *scriptedSource
	}{
		{"source with a context", source, source},
		{"source without context", contextless{own}, own},
		{"cache that is in use", cache, pooled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, w := newWorldClient(t, tt.src)
			for range 3 {
				resp, err := client.Get("https://api.example/")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if want := slices.Repeat([]string{"Bearer token-1"}, 3); !slices.Equal(w.tokens, want) {
				t.Errorf("sent %q, want %q", w.tokens, want)
			}
			wantCalls(t, tt.source, 1)
		})
	}
}

func TestNewClientSendsTheTokenToTheProviderOnly(t *testing.T) {
	endpoint := &http.Client{Transport: inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token": "abc", "token_type": "Bearer", "expires_in": 600}`)
	}))}
	creds := tokensource.StaticCredentials("id", "secret")
	blackhawk := func(base string) *tokensource.Blackhawk {
		return &tokensource.Blackhawk{Credentials: creds, BaseURL: base, HTTPClient: endpoint}
	}
	const blink = "https://secure.blinkpayment.co.uk/api/pay/v1/intents"
	for _, tt := range []struct {
		name string
		src  oauth2.TokenSource
		url  string
		want bool
	}{
		{"Blink's default", &tokensource.Blink{Credentials: creds, HTTPClient: endpoint}, blink, true},
		{"Blink's default in a cache", &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, HTTPClient: endpoint}}, blink, true},
		{"not Blink", &tokensource.Blink{Credentials: creds, HTTPClient: endpoint}, "https://blinkpayment.co.uk/", false},
		{"not Blink, in a cache", &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, HTTPClient: endpoint}}, "https://blinkpayment.co.uk/", false},
		{"legacy Blink", &tokensource.Blink{Credentials: creds, HTTPClient: endpoint, Legacy: true}, blink, true},
		{"Flinks", &tokensource.Flinks{Credentials: creds, HTTPClient: endpoint, BaseURL: "https://flinks.example"}, "https://flinks.example/api", true},
		{"not Flinks", &tokensource.Flinks{Credentials: creds, HTTPClient: endpoint, BaseURL: "https://flinks.example"}, "https://evil.test/", false},
		{"Blackhawk", blackhawk("https://bhn.example"), "https://bhn.example/", true},
		{"base without a scheme", blackhawk("bhn.example"), "https://bhn.example/", true},
		{"base with a path", blackhawk("https://bhn.example/v2/"), "https://bhn.example/other", true},
		{"base in upper case", blackhawk("HTTPS://BHN.example"), "https://bhn.example/", true},
		{"base with a port", blackhawk("https://bhn.example:8443"), "https://bhn.example:8443/", true},
		{"another port", blackhawk("https://bhn.example:8443"), "https://bhn.example/", false},
		{"base with the default port", blackhawk("https://bhn.example:443"), "https://bhn.example/", true},
		{"plain http to the base's host", blackhawk("https://bhn.example"), "http://bhn.example/", false},
		{"base on loopback", blackhawk("http://127.0.0.1"), "http://127.0.0.1/", true},
		{"another source: anywhere", new(scriptedSource), "https://any.example/", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, w := newWorldClient(t, tt.src)
			w.hops = []string{tt.url, "https://evil.test/"}
			resp, err := client.Get(tt.url)
			if !tt.want {
				if !errors.Is(err, tokensource.ErrOrigin) || len(w.tokens) != 0 {
					t.Errorf("error = %v after %d requests, want ErrOrigin and none", err, len(w.tokens))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if w.tokens[0] == "" || w.tokens[1] != "" {
				t.Errorf("sent %q, want a token to the provider only, not to where it redirects", w.tokens)
			}
		})
	}
}

// What is missing is said by the first request, and nothing is sent.
func TestNewClientWithoutAUsableSource(t *testing.T) {
	creds := tokensource.StaticCredentials("id", "secret")
	for _, tt := range []struct {
		name, want string
		is         error
		src        oauth2.TokenSource
	}{
		{"no source", "Source is not set", nil, nil},
		{"no base URL", "BaseURL is not set", nil, &tokensource.Flinks{Credentials: creds}},
		{"base URL that is none", "BaseURL", nil, &tokensource.Flinks{Credentials: creds, BaseURL: "https://"}},
		{"plain http", "https", tokensource.ErrInsecure, &tokensource.Blackhawk{Credentials: creds, BaseURL: "http://bhn.example"}},
		{"no credentials", "Credentials", tokensource.ErrCredentials, &tokensource.Blink{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, w := newWorldClient(t, tt.src)
			_, err := client.Get("https://secure.blinkpayment.co.uk/")
			if e := asError(t, err); !strings.Contains(e.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error = %v, want one with %q around %v", e, tt.want, tt.is)
			}
			if len(w.tokens) != 0 {
				t.Errorf("%d requests sent, want none", len(w.tokens))
			}
		})
	}
}

// One line for each provider, with the client of the sandbox and nothing else:
// a token is fetched, and replaced when it is revoked.
func TestNewClientAgainstTheSandbox(t *testing.T) {
	creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	for _, tt := range []struct {
		name     string
		provider sandbox.Provider
		source   func(base string, client *http.Client) oauth2.TokenSource
		tokens   int // for four requests and a revocation
	}{
		{"Blink", sandbox.Blink, func(base string, client *http.Client) oauth2.TokenSource {
			return &tokensource.Blink{Credentials: creds, BaseURL: base, HTTPClient: client}
		}, 2},
		{"Blink legacy", sandbox.BlinkLegacy, func(base string, client *http.Client) oauth2.TokenSource {
			return &tokensource.Blink{Credentials: creds, BaseURL: base, HTTPClient: client, Legacy: true}
		}, 2},
		{"Flinks", sandbox.Flinks, func(base string, client *http.Client) oauth2.TokenSource {
			return &tokensource.Flinks{Credentials: creds, BaseURL: base, HTTPClient: client}
		}, 4},
		{"Blackhawk", sandbox.Blackhawk, func(base string, client *http.Client) oauth2.TokenSource {
			return &tokensource.Blackhawk{Credentials: creds, BaseURL: base, HTTPClient: client}
		}, 2},
	} {
		for over, open := range map[string]func(sandbox.Config) *sandbox.Sandbox{"in process": sandbox.NewInProcess, "TLS": sandbox.New} {
			t.Run(tt.name+"/"+over, func(t *testing.T) {
				box := open(sandbox.Config{})
				defer box.Close()
				cache := &tokensource.Cache{Source: tt.source(box.URL, box.Client())}
				defer cache.Close()
				client := tokensource.NewClient(cache)
				for call := range 4 {
					if call == 2 {
						box.Revoke(tt.provider)
					}
					resp, err := client.Post(box.APIURL(tt.provider), "application/json", strings.NewReader("{}"))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("call %d: status %d", call, resp.StatusCode)
					}
				}
				if got := box.Ledger()[tt.provider]; got.TokensIssued != tt.tokens || got.Accepted != 4 || got.Rejected > 1 {
					t.Errorf("ledger %+v, want %d tokens, 4 requests accepted and at most one rejected", got, tt.tokens)
				}
			})
		}
	}
}
