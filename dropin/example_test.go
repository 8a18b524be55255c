package dropin_test

import (
	"context"
	"fmt"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
)

// oauth2.NewClient asks its source without a context, so a client for the
// token endpoint goes into the provider's HTTPClient; the context's is the base
// of the API's.
func Example_oauth2() {
	box := sandbox.New(sandbox.Config{})
	defer box.Close()
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, BaseURL: box.URL, HTTPClient: box.Client()}}
	defer cache.Close()

	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, box.Client())
	client := oauth2.NewClient(ctx, cache)
	for range 3 {
		resp, err := client.Get(box.APIURL(sandbox.Blink))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("tokens:", box.Ledger()[sandbox.Blink].TokensIssued)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// tokens: 1
}
