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
}

func (b *broken) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	return b.load(b.Memory, ctx, b.key(key))
}
func (b *broken) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return b.save(b.Memory, ctx, b.key(key), value, ttl)
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
		{"a lease that is never renewed", "lease renewal", locked(func(m *Memory, _, held context.Context, _ string, unlock func()) (context.Context, func()) {
			lapse := time.AfterFunc(2*time.Second, m.Flush) // oauth2-proxy#3456
			return held, func() { lapse.Stop(); unlock() }
		})},
		{"a dead holder's lock stays", "crashed holder", broken{Memory: &Memory{Lease: keep}}},
		{"a dead holder believes in its lease", "crashed holder", outliving},
	} {
		t.Run(tt.fault, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { catch(t, tt.check, tt.store) }) })
	}
}

// catch fails t where the check passes b.
func catch(t *testing.T, name string, b broken) {
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
	for _, c := range checks {
		if c.name != name {
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &recorder{TB: t, ctx: ctx}
		var wg sync.WaitGroup
		wg.Go(func() { // for Fatal ends the goroutine
			c.run(r, func() tokensource.Store {
				another := b
				another.Memory = b.Handle()
				return &another
			})
		})
		wg.Wait()
		cancel()
		<-time.After(2 * step) // for what the check left behind
		if r.failures == nil {
			t.Error("not caught")
		}
		t.Log(r.failures)
		return
	}
	t.Fatalf("there is no check %q", name)
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
