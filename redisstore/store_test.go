//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/redisstore/internal/redistest"
	"github.com/tokensource-go/tokensource/storetest"
)

const (
	key   = "the-key-of-an-entry"
	lease = time.Second
)

// go-redis logs every dial that fails, and these tests stop servers.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	flag.Set("test.parallel", "8") // they wait more than they work
	os.Exit(m.Run())
}

// newHandles returns a func for storetest.Run.
func newHandles(o *redis.UniversalOptions) func(t *testing.T) tokensource.Store {
	return func(t *testing.T) tokensource.Store { return &redisstore.Store{Client: newClient(t, o)} }
}

// newClient returns a client that ends with the test.
func newClient(t *testing.T, o *redis.UniversalOptions) redis.UniversalClient {
	own := *o
	own.Addrs = slices.Clone(o.Addrs) // a cluster's client appends to them
	client := redis.NewUniversalClient(&own)
	t.Cleanup(func() {
		client.Close()
		if _, ok := client.(*redis.ClusterClient); ok && time.Now().Year() == 2000 {
			<-time.After(500 * time.Millisecond) // a bubble cannot end before its reload of the topology has: 200 ms later
		}
	})
	return client
}

func TestStore(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, o := range map[string]*redis.UniversalOptions{
		"defaults":        {},
		"context timeout": {DB: 1, ContextTimeoutEnabled: true}, // beside the others, so in a database of its own
		"RESP2":           {DB: 2, Protocol: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Addrs = []string{server.Addr}
			storetest.Run(t, newHandles(o))
		})
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	real(t)
	o := &redis.UniversalOptions{Addrs: addrs(redistest.Cluster(t)), ContextTimeoutEnabled: true}
	storetest.Run(t, newHandles(o))

	// The entry and its lock lie in one slot, whatever the key and the prefix.
	client := newClient(t, o)
	for _, prefix := range []string{"", "tokensource", "team:app", "{team}", "{", "}", "a{b}c"} {
		for _, key := range []string{"", key, "{", "}", "{}", "}{", "a}b{c", "%", "\x00", "é"} {
			s := &redisstore.Store{Client: client, Prefix: prefix, Lease: lease}
			held, unlock, err := s.TryLock(t.Context(), key)
			if err == nil {
				err = s.Save(held, key, []byte("value"), time.Hour)
				unlock()
			}
			if err == nil {
				_, _, err = s.Load(t.Context(), key)
			}
			if err != nil {
				t.Errorf("prefix %q, key %q: %v", prefix, key, err)
			}
		}
	}
}

func addrs(servers []*redistest.Server) (out []string) {
	for _, s := range servers {
		out = append(out, s.Addr)
	}
	return out
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	real(t)
	master := redistest.Start(t)
	sentinel := redistest.Start(t, "sentinel monitor tokens "+strings.ReplaceAll(master.Addr, ":", " ")+" 1")
	// Its clients listen to the Sentinel, which would hold up the time of
	// storetest's bubbles: they are opened outside.
	clients := make(chan redis.UniversalClient, 50)
	for range cap(clients) {
		client := newClient(t, &redis.UniversalOptions{Addrs: []string{sentinel.Addr}, MasterName: "tokens"})
		must(t, client.Ping(t.Context()).Err())
		clients <- client
	}
	storetest.Run(t, func(t *testing.T) tokensource.Store {
		if len(clients) == 0 {
			t.Fatalf("storetest takes more than %d handles", cap(clients))
		}
		return &redisstore.Store{Client: <-clients}
	})
}

// real skips a test that miniredis is no match for.
func real(t *testing.T) {
	t.Helper()
	if redistest.Binary(t) == "" {
		t.Skip("there is no redis-server, and miniredis cannot do this")
	}
}

// start returns a server, a client of the test's own and a Store on another.
func start(t *testing.T) (*redistest.Server, *redis.Client, *redisstore.Store) {
	server := redistest.Start(t)
	admin := server.Client()
	t.Cleanup(func() { admin.Close() })
	return server, admin, &redisstore.Store{Client: newClient(t, &redis.UniversalOptions{Addrs: []string{server.Addr}}), Lease: lease}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeysAndTimesToLive(t *testing.T) {
	_, admin, s := start(t)
	s.Prefix = "app"
	must(t, s.Save(t.Context(), "plain-1", []byte("value"), time.Minute))
	must(t, s.Save(t.Context(), "a}b:{c", []byte("value"), 1500*time.Millisecond))
	for _, ttl := range []time.Duration{0, -1, -time.Hour, 1} { // to go-redis -1 means to keep the time that is left
		must(t, s.Save(t.Context(), fmt.Sprint("no time ", ttl), []byte("value"), ttl))
	}
	_, unlock, err := s.TryLock(t.Context(), "plain-1")
	must(t, err)
	defer unlock()

	within := map[string]time.Duration{
		"app:{plain-1}:token":      time.Minute,
		"app:{a%7Db%3A%7Bc}:token": 1500 * time.Millisecond,
		"app:{plain-1}:lock":       lease,
	}
	for name, ttl := range within {
		if got, err := admin.PTTL(t.Context(), name).Result(); err != nil || got <= 0 || got > ttl {
			t.Errorf("%s lives for %v, %v; want at most %v", name, got, err, ttl)
		}
	}
	names, err := admin.Keys(t.Context(), "*").Result()
	must(t, err)
	for _, name := range names {
		// The one without time may be gone by now: -2.
		if _, known := within[name]; !known && admin.PTTL(t.Context(), name).Val() == -1 {
			t.Errorf("%s lives for ever", name)
		}
	}
}

// A process whose clock is 26 years slow, as it is in a bubble.
func TestNoProcessesClockCounts(t *testing.T) {
	server := redistest.Start(t)
	if !server.Real() {
		t.Skip("miniredis lives in this process, and goes by its clock")
	}
	open := func(t *testing.T) *redisstore.Store {
		return &redisstore.Store{Client: newClient(t, &redis.UniversalOptions{Addrs: []string{server.Addr}})}
	}
	save := func(t *testing.T) { must(t, open(t).Save(t.Context(), key, []byte("value"), time.Hour)) }
	wantLeft := func(t *testing.T) {
		if _, left, err := open(t).Load(t.Context(), key); err != nil || left > time.Hour || left < 59*time.Minute {
			t.Errorf("Load: %v left, %v; want an hour", left, err)
		}
	}
	synctest.Test(t, save)
	wantLeft(t)
	save(t)
	synctest.Test(t, wantLeft)
}

// Whatever is found in Redis is either replaced or lapses: nothing there keeps
// the fleet apart for good.
func TestGarbage(t *testing.T) {
	token, lock := "tokensource:{"+key+"}:token", "tokensource:{"+key+"}:lock"
	for name, c := range map[string]struct {
		put    func(ctx context.Context, admin *redis.Client, name string) error
		loaded error // the Cache tells junk from an entry
	}{
		"text":            {set("junk", 0), tokensource.ErrNotFound},
		"nothing":         {set("", 0), tokensource.ErrNotFound},
		"text for a year": {set("junk", 365*24*time.Hour), nil},
		"a large value":   {set(strings.Repeat("\x00", 4<<20), time.Hour), tokensource.ErrNotFound},
		"list": {func(ctx context.Context, admin *redis.Client, name string) error {
			return admin.LPush(ctx, name, "junk").Err()
		}, tokensource.ErrNotFound},
		"hash": {func(ctx context.Context, admin *redis.Client, name string) error {
			return admin.HSet(ctx, name, "junk", "junk").Err()
		}, tokensource.ErrNotFound},
		"set": {func(ctx context.Context, admin *redis.Client, name string) error {
			return admin.SAdd(ctx, name, "junk").Err()
		}, tokensource.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, admin, s := start(t)
			must(t, c.put(t.Context(), admin, token))
			must(t, c.put(t.Context(), admin, lock))

			if value, _, err := s.Load(t.Context(), key); err != c.loaded {
				t.Errorf("Load = %d bytes, %v; want %v", len(value), err, c.loaded)
			}
			must(t, s.Delete(t.Context(), key, []byte("value")))
			if n, err := admin.Exists(t.Context(), token).Result(); n != 1 || err != nil {
				t.Errorf("Delete deleted what is not the value: %v", err)
			}
			if _, _, err := s.TryLock(t.Context(), key); err != tokensource.ErrLocked {
				t.Errorf("TryLock = %v, want ErrLocked", err)
			}
			lockSoon(t, s)()
			must(t, s.Save(t.Context(), key, []byte("value"), time.Hour))
			if value, _, err := s.Load(t.Context(), key); err != nil || string(value) != "value" {
				t.Errorf("Load = %q, %v", value, err)
			}
			if ttl, err := admin.PTTL(t.Context(), token).Result(); err != nil || ttl <= 0 {
				t.Errorf("the entry lives for %v, %v", ttl, err)
			}
		})
	}
}

func set(value string, ttl time.Duration) func(context.Context, *redis.Client, string) error {
	return func(ctx context.Context, admin *redis.Client, name string) error {
		return admin.Set(ctx, name, value, ttl).Err()
	}
}

func TestErrors(t *testing.T) {
	server, _, good := start(t)
	secret := []byte("sealed-secret-value")
	methods := func(ctx context.Context, s *redisstore.Store) map[string]error {
		_, _, lock := s.TryLock(ctx, key)
		_, _, load := s.Load(ctx, key)
		return map[string]error{
			"load": load, "lock": lock,
			"save":   s.Save(ctx, key, secret, time.Hour),
			"delete": s.Delete(ctx, key, secret),
		}
	}
	client := func(o *redis.Options) *redis.Client {
		c := redis.NewClient(o)
		t.Cleanup(func() { c.Close() })
		return c
	}
	closed := client(&redis.Options{Addr: server.Addr})
	closed.Close()
	panics := client(&redis.Options{Addr: server.Addr})
	panics.AddHook(hook(func(redis.Cmder) error { panic("broken hook") }))
	// What a server says that has a command renamed or forbidden.
	echoes := client(&redis.Options{Addr: server.Addr})
	echoes.AddHook(hook(func(cmd redis.Cmder) error {
		return fmt.Errorf("ERR unknown command '%s', with args beginning with: %q", cmd.Name(), cmd.Args())
	}))
	for name, c := range map[string]struct {
		client redis.UniversalClient
		want   string
	}{
		"no client":      {nil, "set Client"},
		"closed":         {closed, "client is closed"},
		"nobody there":   {client(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}), "connection refused"},
		"panic":          {panics, "panic: broken hook"},
		"echoed command": {echoes, "ERR unknown command '"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			for method, err := range methods(t.Context(), &redisstore.Store{Client: c.client}) {
				if err == nil || !strings.HasPrefix(err.Error(), "redisstore: "+method+": ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s = %v, want %q", method, err, c.want)
				} else if strings.Contains(err.Error(), string(secret)) || strings.Contains(err.Error(), key) {
					t.Errorf("%s tells too much: %v", method, err)
				}
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("hanging server, no timeouts", func(t *testing.T) {
		server.Pause(t)
		defer server.Resume(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for method, err := range methods(ctx, good) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s = %v, want the context's error", method, err)
			}
		}
	})
}

// hook makes every command fail before it is sent.
type hook func(redis.Cmder) error

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h hook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := h(cmd)
		cmd.SetErr(err)
		return err
	}
}
func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
