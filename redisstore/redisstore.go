// Package redisstore shares tokens between the processes of a fleet, in Redis
// or in Valkey, its equivalent:
//
//	cache := &tokensource.Cache{
//		Source: blink,
//		Store: &redisstore.Store{Client: redis.NewUniversalClient(&redis.UniversalOptions{
//			Addrs:                 []string{"redis.internal:6379"},
//			ContextTimeoutEnabled: true,
//		})},
//	}
//
// The client decides between a single server, Sentinel and Cluster. What lies
// in Redis is sealed by the Cache, and all of it has a time to live.
//
// # The lock
//
// The lock library is github.com/bsm/redislock. The other well-kept one,
// go-redsync, is made for a quorum of independent servers (Redlock) and requires
// the clients of eight libraries; what there is here is one deployment.
// redislock is one file on go-redis alone, tells a lost lease from a command
// that failed, and shows the lock's token, which makes a fence: what is saved
// with the context of a lock is saved only while Redis itself still has that
// lock.
//
// A failover to a replica that had not heard of the lock, or an eviction, lets
// two processes refresh at once. This costs one token request, nothing else. So
// does a read from a replica that lags (ReadOnly, RouteByLatency).
package redisstore

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
)

const (
	defaultPrefix = "tokensource"
	maxValue      = 1 << 20 // a token is a few KiB
)

var (
	//go:embed save.lua
	saveSource string
	saveScript = redis.NewScript(saveSource)

	//go:embed look.lua
	lookSource string
	lookScript = redis.NewScript(lookSource)

	//go:embed delete.lua
	deleteSource string
	deleteScript = redis.NewScript(deleteSource)

	errNoClient = errors.New("there is no client: set Client")
)

// Store is a [tokensource.Store]. It is safe for concurrent use.
type Store struct {
	// Client is required, and the caller's to close. With its
	// ContextTimeoutEnabled a command ends with its context; without, it is
	// waited for no longer.
	Client redis.UniversalClient

	// Prefix begins every key: prefix:{key}:token and prefix:{key}:lock, in one
	// hash slot. Default: tokensource.
	Prefix string

	// Lease is how long the lock of a holder that died stays; the living renew
	// theirs every third of it. Set the same everywhere. Default: 3 s.
	Lease time.Duration

	locked sync.Map // lock → when Load saw that it was taken
}

var _ tokensource.Store = (*Store)(nil)

// Load implements [tokensource.Store]. What Save did not write counts as absent,
// and so does a value of more than 1 MiB: the next Save replaces it.
func (s *Store) Load(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	type entry struct {
		value []byte
		left  time.Duration
	}
	e, err := run(ctx, s, "load", func(ctx context.Context) (entry, error) {
		names := []string{s.name(key, "token"), s.name(key, "lock")}
		seen, err := lookScript.Run(ctx, s.Client, names, maxValue).Slice()
		if err != nil {
			return entry{}, err
		}
		if len(seen) != 3 {
			return entry{}, fmt.Errorf("the server answered with %d values, not 3", len(seen))
		}
		lock, _ := seen[2].(int64)
		if lock > 0 && lock <= s.lease().Milliseconds() {
			s.locked.Store(names[1], time.Now())
		} else {
			s.locked.Delete(names[1])
		}
		value, ok := seen[0].(string)
		if !ok {
			return entry{}, tokensource.ErrNotFound
		}
		left, _ := seen[1].(int64)
		return entry{[]byte(value), time.Duration(left) * time.Millisecond}, nil
	})
	return e.value, e.left, err
}

// Save implements [tokensource.Store]. With the context of a lock it fails if
// the lease was lost.
func (s *Store) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	entry := string(value) // a copy: the command may outlive the call
	_, err := run(ctx, s, "save", func(ctx context.Context) (bool, error) {
		names, token := []string{s.name(key, "token"), s.name(key, "lock")}, ""
		if l, ok := ctx.Value(lockKey{}).(*redislock.Lock); ok && l.Key() == names[1] {
			token = l.Token()
		}
		saved, err := saveScript.Run(ctx, s.Client, names, entry, max(ttl.Milliseconds(), 1), token).Bool()
		if err == nil && !saved {
			err = errLost
		}
		return saved, err
	})
	return err
}

// Delete implements [tokensource.Store].
func (s *Store) Delete(ctx context.Context, key string, value []byte) error {
	entry := string(value)
	_, err := run(ctx, s, "delete", func(ctx context.Context) (any, error) {
		return deleteScript.Run(ctx, s.Client, []string{s.name(key, "token")}, entry).Result()
	})
	return err
}

// name is a key in Redis. Escaped, the key cannot end the braces of the hash
// tag. That must not be empty: "%" alone is the escape of nothing else.
func (s *Store) name(key, kind string) string {
	return cmp.Or(s.Prefix, defaultPrefix) + ":{" + cmp.Or(url.QueryEscape(key), "%") + "}:" + kind
}

// run makes one call and waits no longer than ctx allows: go-redis looks at a
// context only between its steps. An error of Redis may repeat the arguments of
// the command, which belong in no log.
func run[T any](ctx context.Context, s *Store, what string, call func(context.Context) (T, error)) (T, error) {
	type result struct {
		val T
		err error
	}
	r := result{err: ctx.Err()}
	switch {
	case r.err != nil:
	case s.Client == nil:
		r.err = errNoClient
	default:
		done := make(chan result, 1)
		go func() {
			var r result
			defer func() {
				if v := recover(); v != nil {
					r.err = fmt.Errorf("panic: %v", v)
				}
				done <- r
			}()
			r.val, r.err = call(ctx)
		}()
		select {
		case r = <-done:
		case <-ctx.Done():
			r.err = ctx.Err()
		}
	}
	if r.err == nil || r.err == tokensource.ErrNotFound || r.err == tokensource.ErrLocked {
		return r.val, r.err
	}
	s.reload(r.err)
	if message, _, found := strings.Cut(r.err.Error(), ", with args"); found {
		r.err = errors.New(message)
	}
	return r.val, fmt.Errorf("redisstore: %s: %w", what, r.err)
}

// reload has a cluster's client ask for the topology again if no server answered:
// go-redis does not if a master is dead (go-redis#3979), and would go on asking
// it long after another one was promoted.
func (s *Store) reload(err error) {
	var answer redis.Error
	if cluster, ok := s.Client.(*redis.ClusterClient); ok && !errors.Is(err, context.Canceled) &&
		(!errors.As(err, &answer) || strings.HasPrefix(answer.Error(), "CLUSTERDOWN")) {
		cluster.ReloadState(context.Background())
	}
}

// isWrongType also knows a script's error, which older servers wrap.
func isWrongType(err error) bool { return err != nil && strings.Contains(err.Error(), "WRONGTYPE") }
