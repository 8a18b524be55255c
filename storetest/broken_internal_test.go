package storetest

// The suite is worth what it catches: each store here breaks one rule, and the
// check of that rule must see it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
)

// broken is a Memory with some methods replaced.
type broken struct {
	*Memory
	key     func(string) string
	load    func(m *Memory, ctx context.Context, key string) ([]byte, time.Duration, error)
	save    func(m *Memory, ctx context.Context, key string, value []byte, ttl time.Duration) error
	delete  func(m *Memory, ctx context.Context, key string, value []byte) error
	tryLock func(m *Memory, ctx context.Context, key string) (context.Context, func(), error)
	ahead   time.Duration // what the clock of each handle is ahead of the one before
}

func (b *broken) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, left, err := b.load(b.Memory, ctx, b.key(key))
	return value, left - b.ahead, err
}
func (b *broken) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return b.save(b.Memory, ctx, b.key(key), value, ttl+b.ahead)
}
func (b *broken) Delete(ctx context.Context, key string, value []byte) error {
	return b.delete(b.Memory, ctx, b.key(key), value)
}
func (b *broken) TryLock(ctx context.Context, key string) (context.Context, func(), error) {
	return b.tryLock(b.Memory, ctx, b.key(key))
}

// saved is a save that changes what it is given.
func saved(change func(value []byte, ttl time.Duration) ([]byte, time.Duration)) broken {
	return broken{save: func(m *Memory, ctx context.Context, key string, value []byte, ttl time.Duration) error {
		value, ttl = change(value, ttl)
		return m.Save(ctx, key, value, ttl)
	}}
}

// left is a load with another time left.
func left(change func(left time.Duration) time.Duration) broken {
	return broken{load: func(m *Memory, ctx context.Context, key string) ([]byte, time.Duration, error) {
		value, left, err := m.Load(ctx, key)
		return value, change(left), err
	}}
}

// locked is a lock that changes what it has got.
func locked(change func(m *Memory, ctx, held context.Context, key string, unlock func()) (context.Context, func())) broken {
	return broken{tryLock: func(m *Memory, ctx context.Context, key string) (context.Context, func(), error) {
		held, unlock, err := m.TryLock(ctx, key)
		if err == nil {
			held, unlock = change(m, ctx, held, key, unlock)
		}
		return held, unlock, err
	}}
}

func TestRunCatches(t *testing.T) {
	background := context.Background()
	outliving := locked(func(_ *Memory, ctx, _ context.Context, _ string, unlock func()) (context.Context, func()) {
		return context.WithoutCancel(ctx), unlock
	})
	buffer := make([]byte, 2<<20)
	for _, tt := range []struct {
		fault, check string
		store        broken
	}{
		{"nothing is an empty value", "round trip", broken{load: func(m *Memory, ctx context.Context, key string) ([]byte, time.Duration, error) {
			value, left, err := m.Load(ctx, key)
			if errors.Is(err, tokensource.ErrNotFound) {
				err = nil
			}
			return value, left, err
		}}},
		{"the first save wins", "round trip", broken{save: func(m *Memory, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			if _, _, err := m.Load(ctx, key); err == nil {
				return nil
			}
			return m.Save(ctx, key, value, ttl)
		}}},
		{"text is trimmed", "values as they are", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) {
			return bytes.TrimRight(v, "\n"), ttl
		})},
		{"long values are cut", "values as they are", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) {
			return v[:min(len(v), 64<<10)], ttl
		})},
		{"load reuses a buffer", "values as they are", broken{load: func(m *Memory, ctx context.Context, key string) ([]byte, time.Duration, error) {
			value, left, err := m.Load(ctx, key)
			return append(buffer[:0], value...), left, err
		}}},
		{"ttl ten times as long", "ttl", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) { return v, 10 * ttl })},
		{"ttl rounded up to 15 s", "ttl", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) {
			return v, (ttl + 15*time.Second - 1).Truncate(15 * time.Second)
		})},
		{"an early end", "time left", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) { return v, min(ttl, time.Minute) })},
		{"the time left does not count", "time left", left(func(left time.Duration) time.Duration { return left.Round(5 * time.Second) })},
		{"the time left is in another unit", "time left", left(func(left time.Duration) time.Duration { return left / time.Millisecond })},
		{"the time left is by the writer's clock", "time left", broken{ahead: 5 * time.Second}},
		{"there is no time left", "time left", left(func(time.Duration) time.Duration { return 0 })},
		{"ttl ignored", "ttl", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) { return v, 2 * keep })},
		{"a ttl of less than 1 ms is none", "ttl", saved(func(v []byte, ttl time.Duration) ([]byte, time.Duration) {
			if ttl < time.Millisecond {
				ttl = keep
			}
			return v, ttl
		})},
		{"delete without compare", "compare and delete", broken{delete: func(m *Memory, ctx context.Context, key string, _ []byte) error {
			value, _, _ := m.Load(ctx, key)
			return m.Delete(ctx, key, value)
		}}},
		{"delete compares a prefix", "compare and delete", broken{delete: func(m *Memory, ctx context.Context, key string, value []byte) error {
			if whole, _, _ := m.Load(ctx, key); bytes.HasPrefix(whole, value) {
				value = whole
			}
			return m.Delete(ctx, key, value)
		}}},
		{"delete compares lengths", "compare and delete", broken{delete: func(m *Memory, ctx context.Context, key string, value []byte) error {
			if whole, _, _ := m.Load(ctx, key); len(whole) == len(value) {
				value = whole
			}
			return m.Delete(ctx, key, value)
		}}},
		{"delete looks first and deletes then", "delete is atomic", broken{delete: func(m *Memory, ctx context.Context, key string, value []byte) error {
			whole, _, _ := m.Load(ctx, key)
			if !bytes.Equal(whole, value) {
				return nil
			}
			<-time.After(time.Millisecond) // on the way to the server
			whole, _, _ = m.Load(ctx, key)
			return m.Delete(ctx, key, whole)
		}}},
		{"delete of nothing is an error", "compare and delete", broken{delete: func(m *Memory, ctx context.Context, key string, value []byte) error {
			if _, _, err := m.Load(ctx, key); err != nil {
				return err
			}
			return m.Delete(ctx, key, value)
		}}},
		{"keys in lower case", "hostile keys", broken{key: strings.ToLower}},
		{"separators replaced", "hostile keys", broken{key: strings.NewReplacer("/", "_", ":", "_").Replace}},
		{"keys end at NUL", "hostile keys", broken{key: func(k string) string { k, _, _ = strings.Cut(k, "\x00"); return k }}},
		{"long keys are cut", "hostile keys", broken{key: func(k string) string { return k[:min(len(k), 4096)] }}},
		{"the lock is an entry beside", "hostile keys", locked(func(m *Memory, _, held context.Context, key string, unlock func()) (context.Context, func()) {
			m.Save(background, key+".lock", nil, keep)
			return held, unlock
		})},
		{"written in two steps", "concurrent entries", broken{save: func(m *Memory, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			m.Save(ctx, key, value[:len(value)/2], ttl)
			<-time.After(rand.N(time.Millisecond))
			return m.Save(ctx, key, value, ttl)
		}}},
		{"context ignored", "cancelled context", broken{load: func(m *Memory, _ context.Context, key string) ([]byte, time.Duration, error) {
			return m.Load(background, key)
		}}},
		{"a cancelled context means taken", "cancelled context", broken{tryLock: func(m *Memory, ctx context.Context, key string) (context.Context, func(), error) {
			if ctx.Err() != nil {
				return nil, nil, tokensource.ErrLocked
			}
			return m.TryLock(ctx, key)
		}}},
		{"the lock is the entry", "lock", locked(func(m *Memory, _, held context.Context, key string, unlock func()) (context.Context, func()) {
			m.Save(background, key, nil, keep)
			return held, unlock
		})},
		{"one lock for all keys", "lock", broken{tryLock: func(m *Memory, ctx context.Context, _ string) (context.Context, func(), error) {
			return m.TryLock(ctx, "lock")
		}}},
		{"waits for the lock", "lock", broken{tryLock: func(m *Memory, ctx context.Context, key string) (context.Context, func(), error) {
			held, unlock, err := m.TryLock(ctx, key)
			for ; errors.Is(err, tokensource.ErrLocked); held, unlock, err = m.TryLock(ctx, key) {
				<-time.After(step)
			}
			return held, unlock, err
		}}},
		{"unlock frees any holder's lock", "lock", locked(func(m *Memory, _, held context.Context, _ string, _ func()) (context.Context, func()) {
			return held, m.Flush
		})},
		{"held outlives unlock", "lock", outliving},
		{"held outlives its context", "lock ends with its context", outliving},
		{"the lock of a caller who left stays", "lock of a caller who left", broken{tryLock: func(m *Memory, ctx context.Context, key string) (context.Context, func(), error) {
			<-time.After(time.Millisecond / 2) // on the way to the server,
			held, unlock, err := m.TryLock(context.WithoutCancel(ctx), key)
			<-time.After(time.Millisecond / 2) // and back
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			return held, unlock, err
		}}},
		{"everybody gets the lock", "one holder at a time", broken{tryLock: func(_ *Memory, ctx context.Context, _ string) (context.Context, func(), error) {
			held, unlock := context.WithCancel(ctx)
			return held, unlock, nil
		}}},
		{"look, then lock", "one holder at a time", broken{tryLock: func(m *Memory, ctx context.Context, key string) (context.Context, func(), error) {
			if _, _, err := m.Load(ctx, "lock"); err == nil {
				return nil, nil, tokensource.ErrLocked
			}
			<-time.After(time.Millisecond)
			held, end := context.WithCancel(ctx)
			return held, func() { end(); m.Delete(ctx, "lock", nil) }, m.Save(ctx, "lock", nil, keep)
		}}},
		{"a lock that outlives its context", "lock ends with its context", (&locks{deaf: true}).broken()},
		{"a lock without a lease", "lease", broken{Memory: &Memory{Lease: keep}}},
		{"a lock that is never free without unlock", "lease", (&locks{forever: true}).broken()},
		{"a lease that is not renewed", "lease", (&locks{once: true}).broken()}, // oauth2-proxy#3456
		{"held never ends", "lease", (&locks{blind: true}).broken()},
		{"unlock of another holder's lock", "lease", (&locks{unlocksAny: true}).broken()},
		{"renewal of another holder's lock", "lease", (&locks{renewsAny: true}).broken()},
		{"renewal goes on after unlock", "lease", (&locks{renewsAny: true, restless: true}).broken()},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			failures := failuresOf(t, tt.check, tt.store)
			if failures == nil {
				t.Error("not caught")
			}
			t.Log(failures)
		})
	}
}

// The stores that the faults are made of have none.
func TestRunPasses(t *testing.T) {
	names := []string{"lease"}
	for _, c := range checks {
		names = append(names, c.name)
	}
	for what, b := range map[string]broken{"memory": {}, "locks": (&locks{}).broken()} {
		for _, name := range names {
			t.Run(what+", "+name, func(t *testing.T) {
				t.Parallel()
				if failures := failuresOf(t, name, b); failures != nil {
					t.Error(failures)
				}
			})
		}
	}
}

// failuresOf returns what a check has to say of b, in virtual time if it can.
func failuresOf(t *testing.T, check string, b broken) []string {
	if b.Memory == nil {
		b.Memory = &Memory{}
	}
	if b.key == nil {
		b.key = func(k string) string { return k }
	}
	if b.load == nil {
		b.load = (*Memory).Load
	}
	if b.save == nil {
		b.save = (*Memory).Save
	}
	if b.delete == nil {
		b.delete = (*Memory).Delete
	}
	if b.tryLock == nil {
		b.tryLock = (*Memory).TryLock
	}
	var handles atomic.Int32
	open := func() tokensource.Store {
		another := b
		another.Memory = b.Handle()
		another.ahead *= time.Duration(handles.Add(1))
		return &another
	}
	var mu sync.Mutex
	var failures []string
	// record runs a check that may end its goroutine.
	record := func(t *testing.T, run func(t testing.TB)) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &recorder{TB: t, ctx: ctx}
		var wg sync.WaitGroup
		wg.Go(func() { run(r) })
		wg.Wait()
		cancel()
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, r.failures...)
	}
	if check == "lease" {
		record(t, func(r testing.TB) {
			lease(r, noWait(t), func(_ string, play part) {
				synctest.Test(t, func(t *testing.T) {
					record(t, func(r testing.TB) { play(r, open) })
				})
			})
		})
		return failures
	}
	for _, c := range checks {
		if c.name == check {
			synctest.Test(t, func(t *testing.T) {
				record(t, func(r testing.TB) { c.run(r, open) })
				<-time.After(2 * step) // for what the check left behind
			})
			return failures
		}
	}
	t.Fatalf("there is no check %q", check)
	return nil
}

// noWait returns ticks that take no time.
func noWait(t *testing.T) <-chan time.Duration {
	ticks := make(chan time.Duration)
	go func() {
		for {
			select {
			case ticks <- step:
			case <-t.Context().Done():
				return
			}
		}
	}()
	return ticks
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	ctx      context.Context
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
