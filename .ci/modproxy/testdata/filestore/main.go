// A program that keeps its token in a file.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	wd, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	sb := sandbox.NewInProcess(sandbox.Config{})
	for range 2 { // as two runs of a command would
		cache := &tokensource.Cache{
			Source: &tokensource.Blink{
				Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
				HTTPClient:  sb.Client(),
			},
			Store:       &filestore.Store{Dir: filepath.Join(wd, "tokens")},
			Synchronous: true,
		}
		if _, err := cache.Token(); err != nil {
			log.Fatal(err)
		}
		cache.Close()
	}
	if n := sb.Ledger()[sandbox.Blink].TokensIssued; n != 1 {
		log.Fatalf("%d tokens issued for two caches of one store", n)
	}
	fmt.Println("one token for two caches")
}
