package storetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/storetest"
	"golang.org/x/oauth2"
)

// The test of a Store of one's own.
func ExampleRun() {
	_ = func(t *testing.T) { // TestStore
		var m storetest.Memory
		storetest.Run(t, func(*testing.T) tokensource.Store { return m.Handle() })
	}
}

// Two processes of a program, as its tests see them.
func ExampleMemory() {
	var store storetest.Memory
	for range 2 {
		cache := &tokensource.Cache{
			Source:   provider{},
			StoreKey: []byte("what only this program knows"),
			Store:    store.Handle(),
		}
		tok, err := cache.Token()
		if err != nil {
			panic(err)
		}
		fmt.Println(tok.AccessToken)
		cache.Close()
	}
	// Output:
	// the provider is asked
	// token
	// token
}

type provider struct{}

func (provider) Token() (*oauth2.Token, error) {
	fmt.Println("the provider is asked")
	return &oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(30 * time.Minute)}, nil
}
