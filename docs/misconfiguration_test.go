package docs_test

// What the README says of a mistake in the configuration: an error or an event
// tells of it, by the name of the field.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

func TestMistakesAreNamed(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	blink := &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), BaseURL: sb.URL, HTTPClient: sb.Client(),
	}
	own := func(path string, mode fs.FileMode) string {
		path = filepath.Join(t.TempDir(), path)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := func(cache *tokensource.Cache) error {
		_, err := cache.Token()
		return err
	}
	get := func(url string, origins ...string) func(*tokensource.Cache) error {
		return func(cache *tokensource.Cache) error {
			client := tokensource.NewClient(cache)
			client.Transport.(*tokensource.Transport).Origins = origins
			resp, err := client.Get(url)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
	}
	static := tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "one", Expiry: time.Now().Add(time.Hour)}, nil
	})

	for _, c := range []struct {
		mistake string
		cache   *tokensource.Cache
		use     func(*tokensource.Cache) error
		is      error                 // if there has to be an error
		event   tokensource.EventKind // else
		names   []string
	}{
		{"the API is not at the provider's origin", &tokensource.Cache{Source: blink}, get("https://api.example/"),
			tokensource.ErrOrigin, "", []string{"https://api.example", "Origins"}},
		{"Origins have another host", &tokensource.Cache{Source: blink}, get("https://api.example/", "https://www.api.example"),
			tokensource.ErrOrigin, "", []string{"https://api.example", "https://www.api.example", "Origins"}},
		{"Origins have a path", &tokensource.Cache{Source: blink}, get("https://api.example/", "https://api.example/v1"),
			nil, "", []string{"entry 0 of Origins", "https://api.example/v1"}},
		{"both variables are missing", &tokensource.Cache{Source: &tokensource.Blink{Credentials: tokensource.EnvCredentials("NO_SUCH_ID", "NO_SUCH_SECRET")}}, token,
			tokensource.ErrCredentials, "", []string{"NO_SUCH_ID", "NO_SUCH_SECRET"}},
		{"both files are missing", &tokensource.Cache{Source: &tokensource.Blink{Credentials: tokensource.FileCredentials("/no/id", "/no/secret")}}, token,
			tokensource.ErrCredentials, "", []string{"/no/id", "/no/secret"}},
		{"no Credentials", &tokensource.Cache{Source: &tokensource.Blink{}}, token, tokensource.ErrCredentials, "", []string{"Credentials"}},
		{"no BaseURL", &tokensource.Cache{Source: &tokensource.Flinks{Credentials: blink.Credentials}}, token, nil, "", []string{"BaseURL"}},
		{"no Source", &tokensource.Cache{}, token, nil, "", []string{"Source"}},
		{"Ready without single use", &tokensource.Cache{Source: blink, Ready: 2}, token, nil, "", []string{"Ready", "single-use"}},
		{"Ready and Synchronous", &tokensource.Cache{Source: &tokensource.Flinks{Credentials: blink.Credentials, BaseURL: "https://flinks.example"}, Ready: 2, Synchronous: true}, token, nil, "", []string{"Ready", "Synchronous"}},
		{"a Store without a key", &tokensource.Cache{Source: static, Store: &storetest.Memory{}}, token, nil, "", []string{"StoreKey"}},
		{"an empty Dir", &tokensource.Cache{Source: blink, Store: &filestore.Store{}}, token, nil, tokensource.EventStoreFailed, []string{"filestore", "Dir"}},
		{"a Dir that is open to others", &tokensource.Cache{Source: blink, Store: &filestore.Store{Dir: own("open", 0o755)}}, token,
			nil, tokensource.EventStoreFailed, []string{"filestore", "Dir", "open", "others may access it"}},
		{"no Client", &tokensource.Cache{Source: blink, Store: &redisstore.Store{}}, token, nil, tokensource.EventStoreFailed, []string{"redisstore", "Client"}},
		{"a Store that is a nil pointer", &tokensource.Cache{Source: blink, Store: (*storetest.Memory)(nil)}, token, nil, tokensource.EventStoreFailed, []string{"nil pointer"}},
		{"a Source that caches", &tokensource.Cache{Source: oauth2.ReuseTokenSource(nil, static)}, func(cache *tokensource.Cache) error {
			tok, err := cache.Token()
			cache.Invalidate(tok)
			return errors.Join(err, token(cache))
		}, nil, tokensource.EventUnchanged, []string{"Source"}},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			if c.mistake == "a Dir that is open to others" && runtime.GOOS == "windows" {
				t.Skip("filestore looks at no access lists there")
			}
			var mu sync.Mutex
			var events []tokensource.Event
			c.cache.OnEvent = func(_ context.Context, e tokensource.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}
			err := c.use(c.cache)
			c.cache.Close() // all events are told
			var told string
			for _, e := range events {
				if c.event != "" && e.Kind == c.event {
					told += fmt.Sprintln(e)
				}
			}
			switch {
			case c.event != "" && (err != nil || told == ""):
				t.Errorf("got %v and %+v, want a token and the event %q", err, events, c.event)
			case c.event == "" && err == nil:
				t.Error("got a token, want an error")
			case c.event == "":
				told = err.Error()
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %v", err, c.is)
			}
			for _, name := range c.names {
				if !strings.Contains(told, name) {
					t.Errorf("%q is not named in %s", name, told)
				}
			}
			if strings.Contains(told, sandbox.Secret) || strings.Contains(told, sandbox.TokenMark) {
				t.Errorf("a secret shows in %s", told)
			}
		})
	}
}
