package dropin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// RetryUnlessFutile is a retryablehttp.CheckRetry: as the default policy, but no
// retry cures wrong credentials, a wrong origin or plain http.
func RetryUnlessFutile(ctx context.Context, resp *http.Response, err error) (bool, error) {
	var e *tokensource.Error
	if errors.As(err, &e) && !e.Temporary() {
		return false, err
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

func Example_retryablehttp() {
	box := sandbox.NewInProcess(sandbox.Config{Secret: "rotated"})
	cache := &tokensource.Cache{Source: &tokensource.Blink{Credentials: creds, BaseURL: box.URL, HTTPClient: box.Client()}}
	defer cache.Close()

	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = tokensource.NewClient(cache)
	client.CheckRetry = RetryUnlessFutile
	_, err := client.Get(box.APIURL(sandbox.Blink))
	fmt.Println("wrong credentials:", errors.Is(err, tokensource.ErrCredentials))
	fmt.Println("token requests:", box.Ledger()[sandbox.Blink].TokenRequests)
	// Output:
	// wrong credentials: true
	// token requests: 1
}
