package tokensource_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/tokensource-go/tokensource"
)

// Acme is a provider as a type of its own. Token and TokenContext are the
// Endpoint's; the one method makes it a tokensource.Provider, which the
// Transport asks for the origin that may have the token.
type Acme struct{ tokensource.ContextTokenSource }

func NewAcme(baseURL string, creds tokensource.Credentials, client *http.Client) Acme {
	return Acme{&tokensource.Endpoint{
		Provider:    "acme",
		URL:         baseURL + "/oauth/token",
		Credentials: creds,
		HTTPClient:  client,
	}}
}

func (a Acme) Endpoint() *tokensource.Endpoint { return a.ContextTokenSource.(*tokensource.Endpoint) }

func ExampleProvider() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			io.WriteString(w, `{"access_token": "abc", "expires_in": 600}`)
		} else {
			fmt.Println(r.URL.Path, r.Header.Get("Authorization"))
		}
	}))
	defer server.Close()

	client := tokensource.NewClient(NewAcme(server.URL, credentials, server.Client()))
	resp, err := client.Get(server.URL + "/orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	// Output: /orders Bearer abc
}
