package storetest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	memoryLease = 3 * time.Second
	renewals    = 3 // in the time of a lease
)

// Memory is a Store in memory, for tests: of a program that shares tokens, or of
// what it does when the store fails. The zero value is an empty one. It keeps
// to time.Now and so works in a testing/synctest bubble.
type Memory struct {
	// Lease is how long the lock of a dead holder stays taken; the living renew
	// theirs every third of it. Default: 3 s.
	Lease time.Duration

	// Before is asked before each call, with the method's name or "unlock". It
	// may take its time, panic, or return an error, which is the call's result
	// then; unlock has none and goes on.
	Before func(ctx context.Context, method, key string) error

	once    sync.Once
	data    *memoryData
	crashed bool // guarded by data.mu
}

type memoryData struct {
	mu      sync.Mutex
	entries map[string]memoryEntry // key → value
	locks   map[string]*memoryLock // key → its holder's
}

type memoryEntry struct {
	value []byte
	until time.Time
}

type memoryLock struct {
	end   context.CancelCauseFunc
	until time.Time
}

var (
	errCrashed = errors.New("storetest: this handle was crashed")
	errLost    = errors.New("storetest: the lease of the refresh lock was lost")
)

// Handle returns another handle on the same data, as another process would
// have. It has the same Lease and Before; both may be changed before use.
func (m *Memory) Handle() *Memory {
	return &Memory{Lease: m.Lease, Before: m.Before, data: m.shared()}
}

// Crash makes this handle that of a killed process: its calls fail, its locks
// are not renewed and lapse.
func (m *Memory) Crash() {
	d := m.shared()
	d.mu.Lock()
	defer d.mu.Unlock()
	m.crashed = true
}

// Flush empties the store for all handles, as a restarted server without a disk
// does. The holder of a lock has lost it.
func (m *Memory) Flush() {
	d := m.shared()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.locks {
		l.end(errLost)
	}
	clear(d.entries)
	clear(d.locks)
}

// Entries returns a copy of what is stored: key → value.
func (m *Memory) Entries() map[string][]byte {
	d := m.shared()
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string][]byte{}
	for key, e := range d.entries {
		if time.Now().Before(e.until) {
			out[key] = slices.Clone(e.value)
		}
	}
	return out
}

func (m *Memory) Load(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	err = m.call(ctx, "Load", key, func(d *memoryData) error {
		e, ok := d.entries[key]
		if !ok || !time.Now().Before(e.until) {
			return tokensource.ErrNotFound
		}
		value, left = slices.Clone(e.value), time.Until(e.until)
		return nil
	})
	return value, left, err
}

func (m *Memory) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return m.call(ctx, "Save", key, func(d *memoryData) error {
		d.entries[key] = memoryEntry{slices.Clone(value), time.Now().Add(ttl)}
		return nil
	})
}

func (m *Memory) Delete(ctx context.Context, key string, value []byte) error {
	return m.call(ctx, "Delete", key, func(d *memoryData) error {
		maps.DeleteFunc(d.entries, func(k string, e memoryEntry) bool { return k == key && slices.Equal(e.value, value) })
		return nil
	})
}

func (m *Memory) TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error) {
	err = m.call(ctx, "TryLock", key, func(d *memoryData) error {
		if l := d.locks[key]; l != nil && time.Now().Before(l.until) {
			return tokensource.ErrLocked
		}
		l := &memoryLock{until: time.Now().Add(m.lease())}
		held, l.end = context.WithCancelCause(ctx)
		d.locks[key] = l
		release := func() {
			l.end(nil)
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.locks[key] == l && !m.crashed {
				delete(d.locks, key)
			}
		}
		context.AfterFunc(held, release)
		time.AfterFunc(m.lease()/renewals, func() { m.renew(held, key, l) })
		unlock = func() {
			if m.Before != nil {
				m.Before(ctx, "unlock", key)
			}
			release()
		}
		return nil
	})
	return held, unlock, err
}

// renew prolongs the lease and comes back until held ends or the lease is lost.
func (m *Memory) renew(held context.Context, key string, l *memoryLock) {
	d := m.shared()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch now := time.Now(); {
	case held.Err() != nil:
		return
	case d.locks[key] != l || !now.Before(l.until):
		l.end(errLost)
		return
	case !m.crashed:
		l.until = now.Add(m.lease())
	}
	time.AfterFunc(m.lease()/renewals, func() { m.renew(held, key, l) })
}

func (m *Memory) lease() time.Duration { return cmp.Or(max(m.Lease, 0), memoryLease) }

// call does what all methods have in common around what one does.
func (m *Memory) call(ctx context.Context, method, key string, do func(*memoryData) error) error {
	if m.Before != nil {
		if err := m.Before(ctx, method, key); err != nil {
			return err
		}
	}
	d := m.shared()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.crashed:
		return errCrashed
	}
	return do(d)
}

func (m *Memory) shared() *memoryData {
	m.once.Do(func() {
		if m.data == nil {
			m.data = &memoryData{entries: map[string]memoryEntry{}, locks: map[string]*memoryLock{}}
		}
	})
	return m.data
}
