package tokensource_test

// One Example per way of use. They run against the sandbox; a program of your own
// leaves BaseURL (Blink) and HTTPClient out.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

var credentials = tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)

// get stands for what a program does with an API.
func get(client *http.Client, url string) {
	resp, err := client.Get(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
}

// An http.Client that adds the token, in one line.
func ExampleNewClient() {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()

	client := tokensource.NewClient(&tokensource.Blink{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()})

	for range 3 {
		get(client, sb.APIURL(sandbox.Blink))
	}
	fmt.Println("tokens:", sb.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// tokens: 1
}

// One call is one request to the token endpoint; a Cache around it makes that
// one per lifetime.
func ExampleBlink() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	blink := &tokensource.Blink{
		Credentials: credentials, // as a rule EnvCredentials("BLINK_API_KEY", "BLINK_SECRET_KEY")
		HTTPClient:  sb.Client(),
	}
	tok, err := blink.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tok.Type(), time.Until(tok.Expiry).Round(time.Minute))
	// Output: Bearer 30m0s
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

// A token starts one session, so each call gets its own, through a Cache too.
func ExampleFlinks() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	client := tokensource.NewClient(&tokensource.Flinks{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()})

	for range 2 {
		get(client, sb.APIURL(sandbox.Flinks))
	}
	fmt.Println("tokens:", sb.Ledger()[sandbox.Flinks].TokensIssued)
	// Output:
	// 200 OK
	// 200 OK
	// tokens: 2
}

// The rest of a session takes the token that started it. Pin it for as long as
// the session lasts.
func ExampleFlinks_session() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	flinks := &tokensource.Flinks{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()}

	tok, err := flinks.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	session := &http.Client{Transport: &tokensource.Transport{
		Source:  oauth2.StaticTokenSource(tok),
		Base:    sb,
		Origins: []string{sb.URL},
	}}
	get(session, sb.APIURL(sandbox.Flinks))
	get(session, sb.URL+"/api/v1/sessions/17/payments")
	// Output:
	// 200 OK
	// 200 OK
}

func ExampleBlackhawk() {
	sb := sandbox.NewInProcess(sandbox.Config{Scopes: []string{"orders"}})
	blackhawk := &tokensource.Blackhawk{
		Credentials: credentials,
		BaseURL:     sb.URL, // https://marketplace.bhnapi.com, for one
		Scope:       "orders",
		HTTPClient:  sb.Client(),
	}
	tok, err := blackhawk.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tok.ExpiresIn, tok.Extra("scope"))
	// Output: 600 orders
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

// Origins are all that may have the token: here an API that is on another host
// than its token endpoint.
func ExampleTransport() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	client := &http.Client{Transport: &tokensource.Transport{
		Source: &tokensource.Cache{Source: &tokensource.Blackhawk{
			Credentials: credentials, BaseURL: "https://auth.example", HTTPClient: sb.Client(),
		}},
		Base:    sb,
		Origins: []string{"https://api.example"},
	}}
	get(client, "https://api.example/rewardsOrderProcessing/v1/submitEgiftBulk")

	_, err := client.Get("https://elsewhere.example/")
	fmt.Println(errors.Is(err, tokensource.ErrOrigin))
	// Output:
	// 200 OK
	// true
}

// Mutual TLS: one transport with the certificate serves the token endpoint and,
// through Base, the API.
func ExampleTransport_mutualTLS() {
	sb := sandbox.New(sandbox.Config{RequireClientCert: true})
	defer sb.Close()
	issued := sb.Client().Transport.(*http.Transport).TLSClientConfig

	mtls := http.DefaultTransport.(*http.Transport).Clone()
	mtls.TLSClientConfig = &tls.Config{
		Certificates: issued.Certificates, // as a rule from tls.LoadX509KeyPair
		RootCAs:      issued.RootCAs,
	}
	defer mtls.CloseIdleConnections()

	client := &http.Client{Transport: &tokensource.Transport{
		Source: &tokensource.Cache{Source: &tokensource.Blackhawk{
			Credentials: credentials, BaseURL: sb.URL, HTTPClient: &http.Client{Transport: mtls},
		}},
		Base: mtls,
	}}
	get(client, sb.APIURL(sandbox.Blackhawk))
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

// x/oauth2's own client: give it the Cache. A Transport around the same Cache
// underneath recognises the token, and replaces it if it is revoked.
func Example_oauth2NewClient() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()}}
	defer cache.Close()

	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, tokensource.NewClient(cache))
	client := oauth2.NewClient(ctx, cache)
	get(client, sb.APIURL(sandbox.Blink))
	sb.Revoke(sandbox.Blink)
	get(client, sb.APIURL(sandbox.Blink))
	// Output:
	// 200 OK
	// 200 OK
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

// Processes with the same credentials share one token through a Store.
func ExampleCache_store() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	store := &storetest.Memory{} // as a rule a redisstore.Store or a filestore.Store

	for range 3 { // processes
		cache := &tokensource.Cache{
			Source: &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client()},
			Store:  store,
		}
		tok, err := cache.Token()
		fmt.Println(tok.Type(), err)
		cache.Close() // it waits until the token is saved
	}
	fmt.Println("tokens:", sb.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// Bearer <nil>
	// Bearer <nil>
	// Bearer <nil>
	// tokens: 1
}

// A standard provider by x/oauth2: config.TokenSource would cache underneath.
func ExampleTokenFunc() {
	sb := sandbox.NewInProcess(sandbox.Config{FlinksReusable: true})
	config := &clientcredentials.Config{
		ClientID:     sandbox.ID,
		ClientSecret: sandbox.Secret,
		TokenURL:     sb.TokenURL(sandbox.Flinks),
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	cache := &tokensource.Cache{Source: tokensource.TokenFunc(config.Token)}
	defer cache.Close()

	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, sb.Client())
	for range 3 {
		tok, err := cache.TokenContext(ctx)
		fmt.Println(tok.Type(), err)
	}
	fmt.Println("tokens:", sb.Ledger()[sandbox.Flinks].TokensIssued)
	// Output:
	// Bearer <nil>
	// Bearer <nil>
	// Bearer <nil>
	// tokens: 1
}

// Code that sends requests without a Transport says which token the API has
// rejected. One that is newer stays.
func ExampleCache_Invalidate() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client()}}
	defer cache.Close()

	rejected, err := cache.Token()
	fmt.Println(err)
	for range 3 { // requests that were rejected at the same time
		cache.Invalidate(rejected)
	}
	another, err := cache.Token()
	fmt.Println(err, another.AccessToken != rejected.AccessToken)
	cache.Invalidate(rejected) // one that comes late
	cache.Token()
	fmt.Println("tokens:", sb.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// <nil>
	// <nil> true
	// tokens: 2
}

// A readiness probe, which makes no request.
func ExampleCache_Status() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: credentials, HTTPClient: sb.Client()}}
	defer cache.Close()
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if st := cache.Status(); !st.Valid {
			http.Error(w, fmt.Sprintf("no token of %s: %v", st.Provider, st.Err), http.StatusServiceUnavailable)
		}
	}

	for range 2 {
		w := httptest.NewRecorder()
		ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		fmt.Println(w.Code)
		cache.Token()
	}
	// Output:
	// 503
	// 200
}

// A hook that keeps each new token, before any caller gets it.
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

// Events go to a log as they are; for metrics, count them by Kind and Provider.
func ExampleCache_onEvent() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTimes}))
	cache := &tokensource.Cache{
		Source: &tokensource.Blackhawk{Credentials: credentials, BaseURL: sb.URL, HTTPClient: sb.Client()},
		OnEvent: func(ctx context.Context, e tokensource.Event) {
			logger.InfoContext(ctx, "token", "event", e)
		},
	}
	defer cache.Close()

	cache.Token()
	// Output:
	// level=INFO msg=token event.kind=fetched event.provider=blackhawk event.attempts=1
	// level=INFO msg=token event.kind=waited event.provider=blackhawk
}

// withoutTimes makes a log the same each time.
func withoutTimes(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Value.Kind() == slog.KindDuration {
		return slog.Attr{}
	}
	return a
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
