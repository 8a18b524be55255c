package sandbox_test

// The ways to use the sandbox, each as a program that runs.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

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

// A program under test talks HTTPS to the sandbox as it would to the provider.
func ExampleNew() {
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()

	client := tokensource.NewClient(&tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     sb.URL,
		HTTPClient:  sb.Client(), // for the token endpoint, and the API too
	})
	for range 3 {
		get(client, sb.APIURL(sandbox.Blink))
	}
	fmt.Printf("%+v\n", sb.Ledger()[sandbox.Blink])
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// {TokenRequests:1 Refreshes:0 TokensIssued:1 Accepted:3 Rejected:0 ReusedSingleUse:0}
}

// In process there is no server and no goroutine, and any base URL will do.
// Within testing/synctest.Test the waits of this example take no time.
func ExampleNewInProcess() {
	sb := sandbox.NewInProcess(sandbox.Config{TokenLifetime: 50 * time.Second})

	blink := &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sb.Client(), // BaseURL stays Blink's own
	}
	tok, err := blink.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tok.ExpiresIn, tok.Extra("currencies"))

	sb.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = blink.TokenContext(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// 50 [GBP]
	// true
}

// The provider fails twice, in two ways, and then recovers.
func ExampleSandbox_Script() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	sb.Script(sandbox.Blackhawk, sandbox.Token,
		sandbox.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}},
		sandbox.Fault{Patch: map[string]any{"access_token": nil}},
	)

	blackhawk := &tokensource.Blackhawk{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     sb.URL,
		HTTPClient:  sb.Client(),
	}
	for range 3 {
		tok, err := blackhawk.Token()
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(tok.Type(), tok.ExpiresIn)
	}
	// Output:
	// tokensource: blackhawk: 429 Too Many Requests: E0000009: Too Many Requests: the provider limits the rate: wait (retry after 30s)
	// tokensource: blackhawk: 200 OK: the answer has no access_token or one that is not a string
	// Bearer 600
}

// Blink has been seen to end tokens early; a program should get over it.
func ExampleSandbox_Revoke() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	client := tokensource.NewClient(&tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     sb.URL,
		HTTPClient:  sb.Client(),
	})
	for range 2 {
		get(client, sb.APIURL(sandbox.Blink))
		sb.Revoke(sandbox.Blink)
	}
	fmt.Println(sb.Ledger()[sandbox.Blink].Rejected, "call was rejected and made again")
	// Output:
	// 200 OK
	// 200 OK
	// 1 call was rejected and made again
}

// The ledger tells what a program cannot see: here one that starts two sessions
// with one Flinks token.
func ExampleSandbox_Ledger() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	flinks := &tokensource.Flinks{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     sb.URL,
		HTTPClient:  sb.Client(),
	}
	tok, err := flinks.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	naive := &http.Client{Transport: &oauth2.Transport{Source: oauth2.StaticTokenSource(tok), Base: sb}}
	for range 2 {
		get(naive, sb.APIURL(sandbox.Flinks))
	}
	fmt.Println(sb.Ledger()[sandbox.Flinks].ReusedSingleUse, "token was used twice")
	// Output:
	// 200 OK
	// 401 Unauthorized
	// 1 token was used twice
}
