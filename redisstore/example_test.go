package redisstore_test

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"golang.org/x/oauth2"
)

// Three processes of a fleet cost the provider one token request.
func Example() {
	server, err := miniredis.Run() // as a rule Redis or Valkey
	if err != nil {
		panic(err)
	}
	defer server.Close()

	run := func() {
		client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{server.Addr()}, ContextTimeoutEnabled: true})
		defer client.Close()
		cache := &tokensource.Cache{
			Source:   source{}, // a &tokensource.Blink{...} needs no StoreKey
			StoreKey: []byte("what only this fleet knows"),
			Store:    &redisstore.Store{Client: client},
		}
		defer cache.Close()
		tok, err := cache.Token()
		if err != nil {
			panic(err)
		}
		fmt.Println(tok.AccessToken)
	}
	run()
	run()
	run()
	// Output:
	// the provider is asked
	// token
	// token
	// token
}

type source struct{}

func (source) Token() (*oauth2.Token, error) {
	fmt.Println("the provider is asked")
	return &oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(30 * time.Minute)}, nil
}

// Several addresses mean a cluster.
func ExampleStore_cluster() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"redis-1:6379", "redis-2:6379", "redis-3:6379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	_ = &tokensource.Cache{
		Source: &tokensource.Blink{Credentials: tokensource.EnvCredentials("BLINK_API_KEY", "BLINK_SECRET_KEY")},
		Store:  &redisstore.Store{Client: client, Prefix: "payments"},
	}
}

// A master's name means Sentinel.
func ExampleStore_sentinel() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		MasterName:            "tokens",
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	_ = &redisstore.Store{Client: client}
}
