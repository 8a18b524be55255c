//go:build unix

package redisstore_test

// What a Cache makes of Redis, in health and in each of its failures.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/redisstore/internal/redistest"
	"golang.org/x/oauth2"
)

// provider counts its token requests.
type provider struct{ requests atomic.Int32 }

func (p *provider) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: fmt.Sprint("secret-token-", p.requests.Add(1)), Expiry: time.Now().Add(time.Hour)}, nil
}

// process is a Cache as another process would have one.
type process struct {
	*tokensource.Cache
	mu       sync.Mutex
	reported error // of the Store
}

func newProcess(t *testing.T, p *provider, store tokensource.Store) *process {
	c := &process{}
	c.Cache = &tokensource.Cache{Source: p, Store: store, StoreKey: []byte("secret-credentials"), OnEvent: func(_ context.Context, e tokensource.Event) {
		if e.Kind == tokensource.EventStoreFailed {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reported = errors.Join(c.reported, e.Err)
		}
	}}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantToken fails the test unless there is a token within the time.
func (c *process) wantToken(t *testing.T, within time.Duration) *oauth2.Token {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tok, err := c.TokenContext(ctx)
	if err != nil {
		t.Fatalf("no token within %v: %v", within, err)
	}
	return tok
}

func (c *process) wantReport(t *testing.T, want string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case want == "" && c.reported == nil:
	case want == "" || c.reported == nil || !strings.Contains(c.reported.Error(), want):
		t.Errorf("reported: %v; want %q", c.reported, want)
	case strings.Contains(c.reported.Error(), "secret-"):
		t.Errorf("a secret was reported: %v", c.reported)
	}
}

const (
	atOnce = 500 * time.Millisecond
	soon   = 5 * time.Second // a Cache gives a Store up to a second per call
)

func TestManyProcessesOneRequest(t *testing.T) {
	server := redistest.Start(t)
	src := &provider{}
	var wg sync.WaitGroup
	for range 8 {
		client := server.Client()
		defer client.Close()
		p := newProcess(t, src, &redisstore.Store{Client: client})
		wg.Go(func() {
			if tok, err := p.Token(); err != nil || tok.AccessToken != "secret-token-1" {
				t.Errorf("Token = %v, %v", tok, err)
			}
		})
	}
	wg.Wait()
	if n := src.requests.Load(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestOutages(t *testing.T) {
	for name, c := range map[string]struct {
		begin, end func(*redistest.Server, testing.TB)
		report     string
	}{
		"hanging":   {(*redistest.Server).Pause, (*redistest.Server).Resume, "context deadline exceeded"},
		"killed":    {func(s *redistest.Server, _ testing.TB) { s.Kill() }, (*redistest.Server).Restart, "context deadline exceeded"},
		"no memory": {(*redistest.Server).Break, (*redistest.Server).Heal, "OOM command not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			server, _, s := start(t)
			src := &provider{}
			lucky, unlucky := newProcess(t, src, s), newProcess(t, src, s)
			tok := lucky.wantToken(t, soon)
			c.begin(server, t)

			// Who has a token does not notice, nor who has none but the delay.
			if got := lucky.wantToken(t, atOnce); got.AccessToken != tok.AccessToken {
				t.Error("a valid token was replaced")
			}
			unlucky.wantToken(t, soon)
			lucky.Invalidate(tok)
			if got := lucky.wantToken(t, soon); got.AccessToken == tok.AccessToken {
				t.Error("a rejected token was handed out again")
			}
			if n := src.requests.Load(); n > 3 {
				t.Errorf("%d token requests, want no more than the first and one for each process", n)
			}
			lucky.wantReport(t, c.report)
			c.end(server, t)

			before := src.requests.Load()
			first := newProcess(t, src, s).wantToken(t, soon)
			for range 3 {
				p := newProcess(t, src, s)
				if got := p.wantToken(t, soon); got.AccessToken != first.AccessToken {
					t.Errorf("after the outage one process has %s, another %s", first.AccessToken, got.AccessToken)
				}
				p.wantReport(t, "")
			}
			if n := src.requests.Load() - before; n > 1 {
				t.Errorf("%d token requests after the outage, want no more than 1", n)
			}
		})
	}
}

// An entry that cannot be used costs one token request, and is replaced.
func TestCacheOverGarbage(t *testing.T) {
	for name, spoil := range map[string]func(ctx context.Context, admin *redis.Client, name string, entry []byte) error{
		"flushed": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			return admin.FlushAll(ctx).Err()
		},
		"text": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			return admin.Set(ctx, name, "junk", 0).Err()
		},
		"torn": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			return admin.Set(ctx, name, entry[:len(entry)/2], 0).Err()
		},
		"one bit": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			entry[len(entry)/2] ^= 1
			return admin.Set(ctx, name, entry, 0).Err()
		},
		"another version": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			entry[0]++
			return admin.Set(ctx, name, entry, 0).Err()
		},
		"another type": func(ctx context.Context, admin *redis.Client, name string, entry []byte) error {
			return errors.Join(admin.Del(ctx, name).Err(), admin.HSet(ctx, name, "junk", entry).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, admin, s := start(t)
			src := &provider{}
			saved := newProcess(t, src, s)
			saved.wantToken(t, soon)
			saved.Close()
			names, err := admin.Keys(t.Context(), "*:token").Result()
			if err != nil || len(names) != 1 {
				t.Fatalf("Redis has %q, %v; want one entry", names, err)
			}
			entry, err := admin.Get(t.Context(), names[0]).Bytes()
			must(t, err)
			if bytes.Contains(entry, []byte("secret-")) || strings.Contains(names[0], "secret-") {
				t.Errorf("%s = %q shows a secret", names[0], entry)
			}
			must(t, spoil(t.Context(), admin, names[0], entry))
			for range 3 {
				p := newProcess(t, src, s)
				if tok := p.wantToken(t, soon); tok.AccessToken != "secret-token-2" {
					t.Errorf("Token = %s, want the second one", tok.AccessToken)
				}
				p.wantReport(t, "")
			}
			if ttl, err := admin.PTTL(t.Context(), names[0]).Result(); err != nil || ttl <= 0 {
				t.Errorf("the entry lives for %v, %v", ttl, err)
			}
		})
	}
}
