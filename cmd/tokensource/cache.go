package main

// Tokens kept between runs of the token command, so that a loop in a shell costs
// the provider one request per lifetime.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
)

const cacheHelp = `The token is kept for later runs, in the directory tokensource of your cache
directory ($XDG_CACHE_HOME or ~/.cache; macOS: ~/Library/Caches; Windows:
%LocalAppData%). There it is sealed: to open it takes the credentials, and a run
with other ones, another address or other options gets a token of its own. A
single-use token is never kept. You may remove the directory at any time.`

type cacheFlags struct {
	dir     string
	off     bool
	refresh bool
}

func (f *cacheFlags) register(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.BoolVar(&f.off, "no-cache", false, "neither use a token kept by an earlier run nor keep this one")
	fs.StringVar(&f.dir, "cache-dir", "", "directory to keep tokens in, sealed; refused if others can access it (default: tokensource in your cache directory, as ~/.cache)")
	completeDirectory(cmd, "cache-dir")
}

// store returns nil where tokens are not kept.
func (f *cacheFlags) store() (tokensource.Store, error) {
	if f.off {
		return nil, nil
	}
	dir := f.dir
	if dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(caches, "tokensource")
	}
	return &filestore.Store{Dir: dir}, nil
}

// token gets a token from the store or from the source. A store that does not
// work costs its use and a line on stderr, not the token.
func (f *cacheFlags) token(ctx context.Context, cmd *cobra.Command, cache *tokensource.Cache) (*oauth2.Token, error) {
	var once sync.Once
	report := func(err error) {
		once.Do(func() {
			warn(cmd, fmt.Sprintf("going on without kept tokens (see --cache-dir, --no-cache): %v", err))
		})
	}
	var err error
	if cache.Store, err = f.store(); err != nil {
		report(err)
	}
	return get(ctx, cache, f.refresh, report)
}

// get gets one token and closes the cache.
func get(ctx context.Context, cache *tokensource.Cache, refresh bool, report func(error)) (*oauth2.Token, error) {
	defer cache.Close()
	var loaded bool
	cache.OnEvent = func(_ context.Context, e tokensource.Event) {
		switch e.Kind {
		case tokensource.EventLoaded:
			loaded = true
		case tokensource.EventStoreFailed:
			report(e.Err)
		}
	}
	first := &firstLook{Store: cache.Store}
	if cache.Store != nil {
		cache.Store = first
	}
	tok, err := cache.TokenContext(ctx)
	switch {
	case err != nil || !loaded || !first.found.Load():
		return tok, err // new, if any: it was not there when this run began
	case refresh:
		cache.Invalidate(tok)
		return cache.TokenContext(ctx)
	}
	// The second call replaces a token that has entered its early window, for
	// the script has yet to use it. Where the provider hangs, the kept one is
	// better than a long wait.
	ctx, cancel := context.WithTimeout(ctx, cache.FetchTimeout/3)
	defer cancel()
	if newer, err := cache.TokenContext(ctx); err == nil {
		tok = newer
	}
	return tok, nil
}

// firstLook tells a token that lay in the store from the beginning from one that
// another run has saved meanwhile, which --force-refresh need not replace.
type firstLook struct {
	tokensource.Store
	once  sync.Once
	found atomic.Bool
}

func (f *firstLook) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, left, err := f.Store.Load(ctx, key)
	f.once.Do(func() { f.found.Store(err == nil) })
	return value, left, err
}
