package tokensource

// The Store side of the Cache: many processes with the same credentials cost
// the provider one token per lifetime. What is stored is sealed: whoever reads
// the store without the credentials learns nothing.

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"golang.org/x/oauth2"
)

const (
	storeTimeout = time.Second // of one call of the Store: callers may be waiting

	// Between looks for the token of the process that holds the lock: doubling.
	pollMin = 50 * time.Millisecond
	pollMax = 500 * time.Millisecond

	entryVersion = 1 // the first byte of an entry
)

// Store shares tokens between processes. Entries are opaque and sealed; their
// keys are lower-case letters, digits and hyphens. Package storetest holds an
// implementation to these rules; filestore and redisstore are two.
//
// Methods honour their context, are safe for concurrent use, and return an
// error only where the store does not work: the Cache then goes on without it.
type Store interface {
	// Load returns the value saved last and the time it is still to live, by the
	// store's own clock, or ErrNotFound if there is none or its time is over.
	Load(ctx context.Context, key string) (value []byte, left time.Duration, err error)

	// Save replaces the value, for as long as ttl.
	Save(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes the value, only while it still is this one. It is no
	// error if it is not.
	Delete(ctx context.Context, key string, value []byte) error

	// TryLock takes the refresh lock, or says ErrLocked at once. held ends when
	// the lease is lost, unlocked, or ctx ends; it is renewed until then. The
	// lease of a holder that died lapses. unlock may be called more than once.
	TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error)
}

var (
	ErrNotFound = errors.New("no such entry in the store")
	ErrLocked   = errors.New("another process holds the refresh lock")
)

// errElsewhere: another process is at it, and nobody need wait.
var errElsewhere = errors.New("another process is refreshing the token")

// vault seals and opens the entry of one identity.
type vault struct {
	key  string // in the Store
	aead cipher.AEAD
}

// vault derives the entry's key and the sealing key from all that decides what
// the token may do. Processes that share the credentials need no further key;
// rotated credentials or other options lead elsewhere.
func (c *Cache) vault(ctx context.Context) (*vault, error) {
	identity := []byte(c.StoreKey)
	if e := endpointOf(c.Source); e != nil {
		own, err := e.identity(ctx)
		if err != nil {
			return nil, err
		}
		identity = append(own, c.StoreKey...)
	}
	if len(identity) == 0 {
		return nil, errors.New("a Cache with a Store and a Source that is not ours needs its StoreKey: set it to secret bytes that only processes with the same credentials share")
	}
	key, err1 := hkdf.Key(sha256.New, identity, nil, "tokensource store entry: sealing key", 32)
	name, err2 := hkdf.Key(sha256.New, identity, nil, "tokensource store entry: name", 16)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &vault{hex.EncodeToString(name), aead}, err
}

// entry is what is sealed.
type entry struct {
	Token *oauth2.Token
	Extra map[string]any // as JSON has it: a whole number comes back as a float64
	Asked time.Time      // the lifetime began
}

func (v *vault) seal(s *snapshot) ([]byte, error) {
	plain, err := json.Marshal(entry{&s.token, extraOf(&s.token), time.Unix(0, s.asked)})
	if err != nil {
		return nil, fmt.Errorf("the token has an extra field that is no JSON: %w", err)
	}
	return v.aead.Seal([]byte{entryVersion}, nil, plain, v.additional()), nil
}

// open returns nil for whatever this process cannot use: an entry that it
// cannot open counts as absent.
func (v *vault) open(value []byte) *entry {
	if len(value) == 0 || value[0] != entryVersion {
		return nil
	}
	plain, err := v.aead.Open(nil, nil, value[1:], v.additional())
	e := &entry{}
	if err != nil || json.Unmarshal(plain, e) != nil || e.Token == nil || e.Token.AccessToken == "" {
		return nil
	}
	e.Token = e.Token.WithExtra(e.Extra)
	return e
}

func (v *vault) additional() []byte { return append([]byte{entryVersion}, v.key...) }

// extraOf lists the extra fields, which oauth2.Token shows by name only.
func extraOf(tok *oauth2.Token) map[string]any {
	extra := map[string]any{}
	raw := reflect.ValueOf(tok).Elem().FieldByName("raw")
	if raw.Kind() == reflect.Interface && raw.Elem().Kind() == reflect.Map {
		for _, name := range raw.Elem().MapKeys() {
			extra[name.String()] = tok.Extra(name.String())
		}
	}
	return extra
}

// share gets a token newer than old: another process's, else a new one, saved
// for the others. While another process fetches one it waits for that.
func (c *Cache) share(ctx context.Context, old *snapshot) (*snapshot, error) {
	v, err := c.vault(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		overdue := time.Since(start) > c.timeout()/2 // time is left to ask for ourselves
		s, err := c.load(ctx, v, old)
		if s != nil {
			return s, nil
		}
		var l *lease
		if err == nil {
			l, err = c.lock(ctx, v)
		}
		switch {
		case err == nil:
			return c.fetchLocked(ctx, v, l, old)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, ErrLocked):
			c.emit(Event{Kind: EventStoreFailed, Err: err})
			return c.ask(ctx, old)
		case old.valid() && (c.Synchronous || overdue):
			return nil, errElsewhere
		case overdue:
			return c.ask(ctx, old)
		}
		select {
		case <-time.After(shorten(pause)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Cache) fetchLocked(ctx context.Context, v *vault, l *lease, old *snapshot) (*snapshot, error) {
	defer inTime(ctx, func(context.Context) (any, error) { l.unlock(); return nil, nil })
	// Another process may have been here between the look and the lock.
	if s, _ := c.load(ctx, v, old); s != nil {
		return s, nil
	}
	s, err := c.ask(ctx, old)
	if err != nil {
		return nil, err
	}
	if err := c.save(v, l, s); err != nil {
		c.emit(Event{Kind: EventStoreFailed, Err: err})
	}
	return s, nil
}

// load returns the stored token if it is newer than old, else nil.
func (c *Cache) load(ctx context.Context, v *vault, old *snapshot) (*snapshot, error) {
	value, err := inTime(ctx, func(ctx context.Context) ([]byte, error) {
		value, _, err := c.Store.Load(ctx, v.key)
		return value, err
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	e := v.open(value)
	if err != nil || e == nil {
		return nil, err
	}
	var rejected *snapshot
	c.mu.Lock()
	if c.rejections != nil {
		rejected = c.rejections.token
	}
	c.mu.Unlock()
	if rejected != nil && e.Token.AccessToken == rejected.token.AccessToken {
		_, err := inTime(ctx, func(ctx context.Context) (any, error) { return nil, c.Store.Delete(ctx, v.key, value) })
		return nil, err
	}
	s := c.snapshot(e.Token, e.Asked)
	s.loaded = true
	newer := func(o *snapshot) bool { return o == nil || s.expiry > o.expiry }
	if !s.valid() || !newer(old) || !newer(rejected) {
		return nil, nil
	}
	return s, nil
}

// save stores s for the other processes, unless the lease is lost: then another
// process's token may be there already. A token without an expiry is not
// stored, nothing would remove it.
func (c *Cache) save(v *vault, l *lease, s *snapshot) error {
	ttl := time.Until(time.Unix(0, s.expiry))
	if s.token.Expiry.IsZero() || ttl <= 0 {
		return nil
	}
	if err := l.held.Err(); err != nil {
		return fmt.Errorf("the refresh lock was lost, the new token is not saved: %w", err)
	}
	value, err := v.seal(s)
	if err == nil {
		_, err = inTime(l.held, func(ctx context.Context) (any, error) { return nil, c.Store.Save(ctx, v.key, value, ttl) })
	}
	return err
}

type lease struct {
	held   context.Context
	unlock func()
}

// lock bounds the attempt, not the lease.
func (c *Cache) lock(ctx context.Context, v *vault) (*lease, error) {
	leaseCtx, cancel := context.WithCancel(ctx)
	l, err := inTime(ctx, func(ctx context.Context) (*lease, error) {
		held, unlock, err := c.Store.TryLock(leaseCtx, v.key)
		if err == nil && (held == nil || unlock == nil) {
			err = errors.New("the store's TryLock returned neither a lease nor an error")
		}
		if err == nil && ctx.Err() != nil { // nobody waits for it any more
			unlock()
		}
		return &lease{held, func() { unlock(); cancel() }}, err
	})
	if err != nil {
		cancel()
	}
	return l, err
}

// inTime makes one call of the Store, whose faults must not become the
// caller's: it may hang or panic.
func inTime[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	d := storeTimeout
	if end, ok := ctx.Deadline(); ok { // of the refresh, which needs time too
		d = min(d, time.Until(end)/4)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("the store did not answer within %v: %w", d, context.DeadlineExceeded))
	defer cancel()
	return await(ctx, func() (T, error) { return call(ctx) })
}
