package filestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"golang.org/x/oauth2"
)

// A command that runs again and again asks for a token once per lifetime.
func Example() {
	dir, err := os.MkdirTemp("", "") // as a rule below os.UserCacheDir
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	run := func() {
		cache := &tokensource.Cache{
			Source:      provider{}, // a &tokensource.Blink{...} needs no StoreKey
			StoreKey:    []byte("what only these commands know"),
			Store:       &filestore.Store{Dir: filepath.Join(dir, "tokens")},
			Synchronous: true,
		}
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

type provider struct{}

func (provider) Token() (*oauth2.Token, error) {
	fmt.Println("the provider is asked")
	return &oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(30 * time.Minute)}, nil
}
