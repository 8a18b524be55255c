//go:build unix

package redisstore_test

// What a Cache makes of Redis.

import (
	"bytes"
	"cmp"
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
type provider struct {
	lifetime time.Duration // of its tokens; default 1 h

	requests atomic.Int32
}

func (p *provider) Token() (*oauth2.Token, error) {
	lifetime := cmp.Or(p.lifetime, time.Hour)
	return &oauth2.Token{AccessToken: fmt.Sprint("secret-token-", p.requests.Add(1)), Expiry: time.Now().Add(lifetime)}, nil
}

// process is a Cache as another process would have one.
type process struct {
	*tokensource.Cache
	waited atomic.Int32 // calls

	mu       sync.Mutex
	reported error // of the Store
}

func newProcess(t *testing.T, p oauth2.TokenSource, store tokensource.Store) *process {
	c := &process{}
	c.Cache = &tokensource.Cache{Source: p, Store: store, StoreKey: []byte("secret-credentials"), OnEvent: func(_ context.Context, e tokensource.Event) {
		switch e.Kind {
		case tokensource.EventStoreFailed:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reported = errors.Join(c.reported, e.Err)
		case tokensource.EventWaited:
			c.waited.Add(1)
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

// hangingSource is a token request under way.
type hangingSource struct{ asked chan struct{} }

func (s *hangingSource) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

func (s *hangingSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// distant makes Redis 1 ms away.
type distant struct{ hook }

func (distant) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		<-time.After(time.Millisecond / 2)
		defer func() { <-time.After(time.Millisecond / 2) }()
		return next(ctx, cmd)
	}
}

// A process that ends in the middle of a refresh does not leave the lock to its
// lease: when Close returns, it is free.
func TestCloseInTheMiddleOfARefresh(t *testing.T) {
	_, admin, s := start(t)
	s.Client.AddHook(distant{})
	for range 20 {
		src := &hangingSource{make(chan struct{})}
		p := newProcess(t, src, s)
		done := make(chan error, 1)
		go func() { _, err := p.Token(); done <- err }()
		<-src.asked
		locks := func() []string {
			names, err := admin.Keys(t.Context(), "*:lock").Result()
			must(t, err)
			return names
		}
		if held := locks(); len(held) != 1 {
			t.Fatalf("locks during the refresh: %q", held)
		}
		must(t, p.Close())
		if left := locks(); len(left) > 0 {
			t.Fatalf("locks after Close: %q", left)
		}
		if err := <-done; !errors.Is(err, tokensource.ErrClosed) {
			t.Errorf("the call under way got %v", err)
		}
	}
}

// Redis hangs from the token request on: the caller has its token before the
// attempts to save it and to unlock are given up.
func TestCallerDoesNotWaitForAHangingRedis(t *testing.T) {
	server, _, s := start(t)
	returned, told := make(chan struct{}), make(chan error, 10)
	src := tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
		server.Pause(t)
		return (&provider{}).Token()
	})
	p := newProcess(t, src, s)
	p.OnEvent = func(_ context.Context, e tokensource.Event) {
		if e.Kind == tokensource.EventStoreFailed {
			<-returned // a caller who waits for this never returns
			told <- e.Err
		}
	}
	p.wantToken(t, 20*time.Second)
	close(returned)
	t.Logf("then it was reported: %v", <-told)
	server.Resume(t)
	must(t, p.Close())
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
