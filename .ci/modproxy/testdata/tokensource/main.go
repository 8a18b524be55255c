// A program that has the root module and nothing else.
package main

import (
	"fmt"
	"log"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	sb := sandbox.NewInProcess(sandbox.Config{})
	cache := &tokensource.Cache{Source: &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		HTTPClient:  sb.Client(),
	}}
	defer cache.Close()
	for range 2 {
		if _, err := cache.Token(); err != nil {
			log.Fatal(err)
		}
	}
	if n := sb.Ledger()[sandbox.Blink].TokensIssued; n != 1 {
		log.Fatalf("%d tokens issued for two calls of one cache", n)
	}
	fmt.Println("one token for two calls")
}
