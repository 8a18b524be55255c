package tokensource_test

// What golang.org/x/oauth2 v0.37.0 expects of its own Transport
// (transport_test.go), asked of both: whoever changes over finds the same
// behaviour. Its two tests of Token.Valid are not about a transport.

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

func TestTransportAsOAuth2(t *testing.T) {
	transports := map[string]func(oauth2.TokenSource) http.RoundTripper{
		"x/oauth2":    func(src oauth2.TokenSource) http.RoundTripper { return &oauth2.Transport{Source: src} },
		"tokensource": func(src oauth2.TokenSource) http.RoundTripper { return &tokensource.Transport{Source: src} },
	}
	unread := errors.New("body was read without a token")
	for _, tt := range []struct {
		name    string
		token   *oauth2.Token // nil: there is no source
		body    io.Reader     // nil: a GET
		want    string        // Authorization header
		refused bool
	}{
		{name: "no source", refused: true},
		{name: "no source: the body is closed", body: failingReader{unread}, refused: true},
		{name: "the body is closed", token: &oauth2.Token{AccessToken: "abc"}, body: failingReader{io.EOF}, want: "Bearer abc"},
		{name: "token", token: &oauth2.Token{AccessToken: "abc"}, want: "Bearer abc"},
		// golang/oauth2#113: some servers tell upper from lower case.
		{name: "bearer", token: &oauth2.Token{AccessToken: "abc", TokenType: "bearer"}, want: "Bearer abc"},
		{name: "mac", token: &oauth2.Token{AccessToken: "abc", TokenType: "mac"}, want: "MAC abc"},
		{name: "basic", token: &oauth2.Token{AccessToken: "abc", TokenType: "basic"}, want: "Basic abc"},
	} {
		for of, transport := range transports {
			t.Run(tt.name+"/"+of, func(t *testing.T) {
				served, got := false, ""
				server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					served, got = true, r.Header.Get("Authorization")
				}))
				defer server.Close()
				var source oauth2.TokenSource
				if tt.token != nil {
					source = oauth2.StaticTokenSource(tt.token)
				}
				client := &http.Client{Transport: transport(source)}

				var resp *http.Response
				var err error
				body := &countedBody{Reader: tt.body}
				if tt.body == nil {
					resp, err = client.Get(server.URL)
				} else {
					resp, err = client.Post(server.URL, "application/json", body)
				}
				if tt.body != nil && body.closed.Load() != 1 {
					t.Errorf("body closed %d times, want 1", body.closed.Load())
				}
				if tt.refused {
					if err == nil || resp != nil || served {
						t.Errorf("response %v, error %v, sent %v; want an error only", resp, err, served)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got != tt.want {
					t.Errorf("Authorization = %q, want %q", got, tt.want)
				}
			})
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
