package tokensource_test

// One Example per way of use. They run against the sandbox; a program of your
// own leaves BaseURL (Blink) and HTTPClient out.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

var credentials = tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)

// An http.Client that adds the token, in one line. For the sandbox its base
// transport is replaced; against the real provider the default one does.
func ExampleNewClient() {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()

	client := tokensource.NewClient(&tokensource.Blink{
		Credentials: credentials,
		BaseURL:     sb.URL,
		HTTPClient:  sb.Client(),
	})
	client.Transport.(*tokensource.Transport).Base = sb.Client().Transport

	for range 3 {
		resp, err := client.Get(sb.APIURL(sandbox.Blink))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("tokens:", sb.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// tokens: 1
}

// What Blink says about the merchant comes with the token.
func ExampleBlinkDetailsOf() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	blink := &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client(), SendBlinkReceipt: true}

	tok, err := blink.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	details, ok := tokensource.BlinkDetailsOf(tok)
	fmt.Println(ok, details.PaymentTypes, details.Currencies, details.SendBlinkReceipt)
	// Output: true [credit-card direct-debit open-banking] [GBP] true
}

// A Flinks token starts one session; the rest of the session takes the same
// token. Pin it for as long as the session lasts.
func ExampleFlinks_session() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	flinks := &tokensource.Flinks{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()}

	tok, err := flinks.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	session := &http.Client{Transport: &tokensource.Transport{
		Source: oauth2.StaticTokenSource(tok),
		Base:   sb,
	}}
	resp, err := session.Post(sb.APIURL(sandbox.Flinks), "application/json", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A caller leaves on its own context; the token still arrives for the others.
func ExampleCache_TokenContext() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.Script(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Delay: 200 * time.Millisecond})
	cache := &tokensource.Cache{Source: &tokensource.Blackhawk{
		Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client(),
	}}
	defer cache.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := cache.TokenContext(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	_, err = cache.Token()
	fmt.Println(err, sb.Ledger()[sandbox.Blackhawk].TokenRequests)
	// Output:
	// true
	// <nil> 1
}

// A provider that is not in this package, as a literal: keys in a JSON body, an
// absolute expiry in the answer.
func ExampleEndpoint() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.Header.Get("Content-Type"), string(body))
		expiry := time.Now().Add(20 * time.Minute).Unix()
		fmt.Fprintf(w, `{"access_token": "abc", "expires_at": %d}`, expiry)
	}))
	defer server.Close()

	shop := &tokensource.Endpoint{
		Provider:    "shop",
		URL:         server.URL + "/v2/token",
		Credentials: tokensource.StaticCredentials("key", "secret"),
		IDField:     "key",
		SecretField: "secret",
		JSON:        map[string]any{"store": 7},
		Lifetime:    30 * time.Minute,
		HTTPClient:  server.Client(), // for the test server's certificate
	}
	tok, err := shop.Token()
	fmt.Println(tok.AccessToken, time.Until(tok.Expiry).Round(time.Minute), err)
	// Output:
	// application/json {"key":"key","secret":"secret","store":7}
	// abc 20m0s <nil>
}

// A form with an audience, as BHN's Tango wants it.
func ExampleEndpoint_form() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _, _ := r.BasicAuth()
		fmt.Println(id, string(body))
		io.WriteString(w, `{"access_token": "abc", "token_type": "Bearer", "expires_in": 86400}`)
	}))
	defer server.Close()

	tango := &tokensource.Endpoint{
		Provider:    "tango",
		URL:         server.URL + "/oauth/token",
		Credentials: tokensource.StaticCredentials("id", "secret"),
		Form:        url.Values{"scope": {"raas.all"}, "audience": {"https://api.tangocard.com/"}},
		Lifetime:    24 * time.Hour,
		HTTPClient:  server.Client(), // for the test server's certificate
	}
	tok, err := tango.Token()
	fmt.Println(tok.AccessToken, tok.ExpiresIn, err)
	// Output:
	// id audience=https%3A%2F%2Fapi.tangocard.com%2F&grant_type=client_credentials&scope=raas.all
	// abc 86400 <nil>
}

// Merchant is a provider as a type of its own: Token and TokenContext are
// embedded, the one method says which endpoint they ask.
type Merchant struct {
	tokensource.ContextTokenSource
	endpoint *tokensource.Endpoint
}

func (m Merchant) Endpoint() *tokensource.Endpoint { return m.endpoint }

func ExampleProvider() {
	endpoint := &tokensource.Endpoint{URL: "http://pay.example/token", Credentials: credentials}
	client := tokensource.NewClient(Merchant{endpoint, endpoint})
	_, err := client.Get("https://pay.example/orders")
	fmt.Println(errors.Is(err, tokensource.ErrInsecure))
	// Output: true
}

// A hook that keeps each new token, before anybody uses it.
func ExampleCache_onToken() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{
		Source: &tokensource.Blackhawk{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()},
		OnToken: func(ctx context.Context, tok *oauth2.Token) error {
			fmt.Println("new token of type", tok.Type())
			return nil // an error keeps the token back until the next attempt
		},
	}
	defer cache.Close()

	for range 3 {
		if _, err := cache.Token(); err != nil {
			fmt.Println(err)
		}
	}
	// Output: new token of type Bearer
}

// Events feed metrics and traces: a counter by Kind and Provider, a histogram
// of Duration, a gauge of ExpiresIn.
func ExampleCache_onEvent() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.Script(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: http.StatusUnauthorized})
	cache := &tokensource.Cache{
		Source: &tokensource.Blackhawk{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()},
		OnEvent: func(_ context.Context, e tokensource.Event) {
			fmt.Println(e.Provider, e.Kind, errors.Is(e.Err, tokensource.ErrCredentials))
		},
	}
	defer cache.Close()

	cache.Token() // 401
	cache.Token() // too early for another request
	// Output:
	// blackhawk failed true
	// blackhawk waited true
	// blackhawk held true
}

// Serverless functions and short commands do without background work.
func ExampleCache_synchronous() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{
		Source:      &tokensource.Blackhawk{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()},
		Synchronous: true,
	}
	tok, err := cache.Token()
	fmt.Println(tok.Type(), err)
	// Output: Bearer <nil>
}

// Mutual TLS: one client with the certificate serves the token endpoint and,
// through Base, the API.
func ExampleTransport_mutualTLS() {
	sb := sandbox.New(sandbox.Config{RequireClientCert: true})
	defer sb.Close()
	withCertificate := sb.Client() // yours: &http.Client{Transport: &http.Transport{TLSClientConfig: ...}}

	client := &http.Client{Transport: &tokensource.Transport{
		Source: &tokensource.Cache{Source: &tokensource.Blackhawk{
			Credentials: credentials,
			BaseURL:     sb.URL,
			HTTPClient:  withCertificate,
		}},
		Base: withCertificate.Transport,
	}}
	resp, err := client.Get(sb.APIURL(sandbox.Blackhawk))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Every failure is an *Error; three questions lead to what to do.
func ExampleError() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {"7"}},
	})
	blink := &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client()}

	_, err := blink.Token()
	var e *tokensource.Error
	switch {
	case errors.Is(err, tokensource.ErrCredentials):
		fmt.Println("fix or rotate the credentials")
	case errors.As(err, &e) && e.Temporary():
		fmt.Println("try again in", e.RetryAfter)
	case err != nil:
		fmt.Println("fix the configuration:", err)
	}
	// Output: try again in 7s
}

// x/oauth2's own client: give it the Cache, and the base client by context.
func Example_oauth2NewClient() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, sb.Client())
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client()}}
	defer cache.Close()

	client := oauth2.NewClient(ctx, cache)
	resp, err := client.Get(sb.APIURL(sandbox.Blink))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
