// A program that keeps its token in Redis.
package main

import (
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	sb := sandbox.NewInProcess(sandbox.Config{})
	for range 2 { // as two processes of a fleet would
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
		cache := &tokensource.Cache{
			Source: &tokensource.Blink{
				Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
				HTTPClient:  sb.Client(),
			},
			Store: &redisstore.Store{Client: client},
		}
		if _, err := cache.Token(); err != nil {
			log.Fatal(err)
		}
		cache.Close()
		client.Close()
	}
	if n := sb.Ledger()[sandbox.Blink].TokensIssued; n != 1 {
		log.Fatalf("%d tokens issued for two caches of one store", n)
	}
	fmt.Println("one token for two caches")
}
