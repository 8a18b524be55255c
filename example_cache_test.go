package tokensource_test

// The Cache and its fields.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

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
