//go:build unix

package redisstore_test

// A cluster whose master dies, as the Caches above it see that.

import (
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/redisstore/internal/redistest"
)

// A master dies, its replica is promoted: go-redis#3979. No caller is harmed, and
// processes whose clients know the old topology share again soon.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	real(t)
	masters := redistest.Cluster(t)
	src := &provider{}
	var stores []*redisstore.Store
	var running []*process // they have a token
	for range 5 {
		client := newClient(t, &redis.UniversalOptions{Addrs: addrs(masters), ContextTimeoutEnabled: true})
		s := &redisstore.Store{Client: client}
		p := newProcess(t, src, s)
		p.wantToken(t, soon)
		stores, running = append(stores, s), append(running, p)
	}
	replica := killOwner(t, masters, stores)

	// round starts a process on each client and returns whether they share.
	round := func() bool {
		var wg sync.WaitGroup
		tokens := make([]string, len(stores))
		shared := true
		var starting []*process
		for i, s := range stores {
			p := newProcess(t, src, s)
			starting = append(starting, p)
			wg.Go(func() { tokens[i] = p.wantToken(t, 2*soon).AccessToken })
		}
		wg.Wait()
		for i, p := range starting {
			p.Close()
			shared = shared && tokens[i] == tokens[0] && p.reported == nil
		}
		for _, p := range running {
			if got := p.wantToken(t, atOnce); got.AccessToken != "secret-token-1" {
				t.Errorf("a process in use has %s", got.AccessToken)
			}
		}
		return shared
	}
	done := make(chan struct{})
	go func() { replica.AwaitPromotion(t); close(done) }()
	failed := 0
	for promoted := false; !promoted; {
		if !round() {
			failed++
		}
		select {
		case <-done:
			promoted = true
		default:
		}
	}
	if failed == 0 {
		t.Error("no process noticed the dead master")
	}
	began := time.Now()
	for !round() {
		if time.Since(began) > 5*time.Second {
			t.Fatal("not shared 5 s after the promotion")
		}
	}
	t.Logf("shared again %v after the promotion", time.Since(began))
}

// killOwner kills the master that has the token and returns its replica.
func killOwner(t *testing.T, masters []*redistest.Server, stores []*redisstore.Store) *redistest.Server {
	t.Helper()
	for _, master := range masters {
		admin := master.Client()
		defer admin.Close()
		names, err := admin.Keys(t.Context(), "*:token").Result()
		must(t, err)
		if len(names) == 0 {
			continue
		}
		replica := master.Replicate(t)
		for _, s := range stores { // they know the replica, as after a while
			s.Client.(*redis.ClusterClient).ReloadState(t.Context())
			if _, _, err := s.Load(t.Context(), key); err != tokensource.ErrNotFound {
				t.Fatal(err)
			}
		}
		master.Kill()
		return replica
	}
	t.Fatal("no master has the token")
	return nil
}
