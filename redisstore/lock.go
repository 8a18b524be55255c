package redisstore

// The refresh lock and its lease: who holds it knows when it is lost.

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource"
)

const (
	defaultLease  = 3 * time.Second
	renewals      = 3           // in the time of a lease
	unlockTimeout = time.Second // callers wait, and the lease lapses anyway

	// A process that waits asks for the lock right after a look at the entry,
	// which has just seen the lock: then it need not ask Redis again.
	fresh = 10 * time.Millisecond
)

var (
	//go:embed lapse.lua
	lapseSource string
	lapseScript = redis.NewScript(lapseSource)

	errLost = errors.New("the lease of the refresh lock was lost")
)

type lockKey struct{} // of the *redislock.Lock in the context of its holder

// TryLock implements [tokensource.Store]. held ends as soon as a renewal finds
// the lease lost; where none gets through, before Redis lets it lapse, since a
// lease counts from before its command was sent.
func (s *Store) TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error) {
	type lease struct {
		held   context.Context
		unlock func()
	}
	name := s.name(key, "lock")
	if seen, ok := s.locked.LoadAndDelete(name); ok && time.Since(seen.(time.Time)) < fresh && ctx.Err() == nil {
		return nil, nil, tokensource.ErrLocked
	}
	l, err := run(ctx, s, "lock", func(caller context.Context) (lease, error) {
		// Also if the caller leaves, Redis may have given the lock: the answer
		// is awaited, to give it back.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), s.lease())
		defer cancel()
		sent := time.Now()
		lock, err := redislock.Obtain(ctx, s.Client, name, s.lease(), nil)
		if errors.Is(err, redislock.ErrNotObtained) || isWrongType(err) {
			if err = lapseScript.Run(ctx, s.Client, []string{name}, s.lease().Milliseconds()).Err(); err == nil {
				err = tokensource.ErrLocked
			}
		}
		if err != nil {
			return lease{}, err
		}
		held, unlock := s.hold(caller, lock, sent)
		return lease{held, unlock}, nil
	})
	return l.held, l.unlock, err
}

// hold renews a lock until its context ends and then unlocks it, even if it was
// obtained when its caller had left.
func (s *Store) hold(ctx context.Context, lock *redislock.Lock, sent time.Time) (context.Context, func()) {
	held, end := context.WithCancelCause(context.WithValue(ctx, lockKey{}, lock))
	lapse := time.AfterFunc(time.Until(sent.Add(s.lease())), func() { end(errLost) })
	unlock := sync.OnceFunc(func() {
		end(nil)
		lapse.Stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		_, _ = run(ctx, s, "unlock", func(ctx context.Context) (any, error) { return nil, lock.Release(ctx) })
		s.locked.Delete(lock.Key())
	})
	context.AfterFunc(held, unlock)
	go s.renew(held, end, lock, lapse)
	return held, unlock
}

func (s *Store) renew(held context.Context, end context.CancelCauseFunc, lock *redislock.Lock, lapse *time.Timer) {
	pause := max(s.lease()/renewals, time.Millisecond)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-held.Done():
			return
		}
		sent := time.Now()
		ctx, cancel := context.WithTimeout(held, pause)
		_, err := run(ctx, s, "renew", func(ctx context.Context) (any, error) { return nil, lock.Refresh(ctx, s.lease(), nil) })
		cancel()
		switch {
		case err == nil:
			lapse.Reset(time.Until(sent.Add(s.lease())))
		case errors.Is(err, redislock.ErrNotObtained), isWrongType(err):
			end(errLost)
		}
	}
}

func (s *Store) lease() time.Duration { return cmp.Or(max(s.Lease, 0), defaultLease) }
