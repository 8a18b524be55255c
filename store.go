package tokensource

// Tokens shared between processes: those with the same credentials cost the
// provider what one of them costs.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/seal"
)

const (
	storeTimeout = time.Second            // of one call of the Store, and of all until it has a token or the lock
	lookTimeout  = 200 * time.Millisecond // for which calls wait that would fail at once

	// Between looks for the token of the process that holds the lock: doubling.
	pollMin = 50 * time.Millisecond
	pollMax = 500 * time.Millisecond
)

// Store shares tokens between processes. Entries are opaque and sealed; their
// keys are lower-case letters, digits and hyphens. Package storetest holds an
// implementation to these rules; filestore and redisstore are two.
//
// Methods honour their context, are safe for concurrent use, and return an
// error only if the store does not work: the Cache then does without it.
type Store interface {
	// Load returns the value saved last, and the time it is still to live by
	// the store's own clock; or ErrNotFound if there is none or its time is
	// over.
	Load(ctx context.Context, key string) (value []byte, left time.Duration, err error)

	// Save replaces the value, for as long as ttl.
	Save(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes the entry if it still has this value. It is no error if
	// it has another, or if there is none.
	Delete(ctx context.Context, key string, value []byte) error

	// TryLock takes the refresh lock, or says ErrLocked at once. held ends when
	// the lease is lost, unlocked, or ctx ends; it is renewed until then. The
	// lease of a holder that died lapses. unlock may be called more than once.
	TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error)
}

var (
	// ErrNotFound is what Store.Load returns if there is no such entry.
	ErrNotFound = errors.New("no such entry in the store")

	// ErrLocked is what Store.TryLock returns if it would have to wait.
	ErrLocked = errors.New("another process holds the refresh lock")

	errNoStoreKey = errors.New("the Cache has a Store, and a Source that is no Provider: set StoreKey to secret bytes that only processes with the same credentials share")
)

// sharedState is what one refresh with a Store leaves to the next.
type sharedState struct {
	newest      int64     // the version of the newest token seen
	lockedSince time.Time // by other processes; zero if it is not
	lockSeen    time.Time // when it was found locked last
	putOff      *snapshot // the token whose refresh was put off since the Store fails
}

// sharing is the Store's side of one refresh.
type sharing struct {
	store    Store
	identity func(context.Context) (identity []byte, fingerprint uint64, err error)
	provider string
	early    time.Duration // as in Cache
	patience time.Duration // with the Store, until it has a token or the lock
	stuck    time.Duration // a lock that is held for longer counts as stuck
	valid    bool          // there is a token: no caller waits
	inline   bool          // see Cache.Synchronous
	prior    *failure
	start    time.Time
	progress *progress
	shared   *sharedState
	looked   time.Time // at the failure of the process that has the lock
	report   func(error)
	detach   func(func()) bool // does work that no caller waits for, but Close; not after that

	fingerprint uint64 // of the credentials, as in Error
}

// shares reports whether other processes may have the tokens, too.
func (c *Cache) shares() bool { return c.Store != nil && !c.about().single }

// sharing returns the Store's side of f; c.mu is held.
func (c *Cache) sharing(ctx context.Context, f *flight, timeout time.Duration, valid bool) *sharing {
	patience := storeTimeout
	if end, ok := ctx.Deadline(); ok && !valid { // a caller waits, and the provider needs time too
		patience = min(patience, time.Until(end)/4)
	}
	return &sharing{
		store: c.Store, identity: c.identity, provider: c.about().name, early: c.EarlyRefresh,
		patience: min(patience, timeout/4), stuck: timeout, valid: valid, inline: c.Synchronous,
		prior: f.prior, start: f.start, progress: &f.progress, shared: &c.rare().shared,
		report: func(err error) { c.report(f, Event{Kind: EventStoreFailed, Err: err}) },
		detach: func(work func()) bool {
			open := c.begin()
			if open {
				guard.Go(func() (any, error) { // it calls foreign code
					defer c.end()
					work()
					return nil, nil
				})
			}
			return open
		},
	}
}

// identity is what decides who may share the token.
func (c *Cache) identity(ctx context.Context) (identity []byte, fingerprint uint64, err error) {
	if e := endpointOf(c.Source); e != nil {
		r, err := e.request(ctx)
		if err != nil {
			return nil, 0, err
		}
		identity, fingerprint = r.Identity(), fingerprintOf(r)
	}
	if identity = append(identity, c.StoreKey...); len(identity) == 0 {
		return nil, 0, errNoStoreKey
	}
	return identity, fingerprint, nil
}

// box derives the entries' names and keys from the credentials of this moment.
func (sh *sharing) box(ctx context.Context) (*seal.Box, error) {
	identity, fingerprint, err := sh.identity(ctx)
	if err != nil {
		return nil, asError(sh.provider, err)
	}
	sh.fingerprint = fingerprint
	return seal.New(identity)
}

// look finds a token that another process got.
func (sh *sharing) look(ctx context.Context, earlier *snapshot) (*snapshot, error) {
	ctx, cancel := within(ctx, min(sh.patience, lookTimeout))
	defer cancel()
	box, err := sh.box(ctx)
	if err != nil {
		return nil, err
	}
	s, err := sh.load(ctx, box, earlier)
	if err == nil && s == nil {
		err = ErrNotFound
	}
	return s, err
}

// share takes the token that another process got, or gets one with next, alone,
// and saves it for the others. What next fails with is shared, too.
func (sh *sharing) share(next step) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		box, err := sh.box(ctx)
		if err != nil {
			return nil, err
		}
		for pause := pollMin; ; pause = min(2*pause, pollMax) {
			s, l, err := sh.turn(ctx, box, earlier)
			_, failed := err.(*failure)
			switch {
			case s != nil:
				return s, nil
			case ctx.Err() != nil:
				sh.release(l)
				return nil, context.Cause(ctx)
			case l != nil:
				return sh.refresh(ctx, box, l, earlier, next)
			case failed:
				return nil, err
			case !errors.Is(err, ErrLocked):
				sh.report(err)
				if wait := sh.putOff(earlier); wait > 0 {
					return nil, &postponed{wait}
				}
				s, err := next(ctx, earlier)
				if err == nil && s != earlier {
					sh.shared.nextVersion(s)
				}
				return s, err
			case sh.valid:
				return nil, &postponed{jittered(pollMax)}
			}
			sh.progress.err.Store(&err) // what there was to wait for, if it takes too long
			select {
			case <-time.After(jittered(pause)):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
}

// turn asks the Store once: for a token, else for the lock, and then for the
// failure of the process that had it. One that waits for the lock learns of that
// too, in about every other turn. A slow Store must not use up the time that the
// provider needs.
func (sh *sharing) turn(ctx context.Context, box *seal.Box, earlier *snapshot) (*snapshot, *lease, error) {
	ctx, cancel := within(ctx, sh.patience)
	defer cancel()
	s, err := sh.load(ctx, box, earlier)
	if s != nil {
		sh.shared.lockedSince = time.Time{} // so the lock works
	}
	if s != nil || err != nil {
		return s, nil, err
	}
	l, err := sh.lock(ctx, box)
	now := time.Now()
	switch {
	case err == nil:
		// Another process may have been here between the look and the lock.
		s, _ = sh.load(ctx, box, earlier)
	case sh.valid || !errors.Is(err, ErrLocked) || elapsed(sh.looked, now) < pollMax:
		return nil, nil, err
	}
	sh.looked = now
	if s == nil {
		if f := sh.loadFailure(ctx, box); f != nil {
			err = f
		}
	}
	if s != nil || err != nil {
		sh.release(l)
		l = nil
	}
	return s, l, err
}

// putOff spreads the refreshes of processes whose Store fails over what is left
// of their early window: each asks for itself then.
func (sh *sharing) putOff(s *snapshot) time.Duration {
	if !sh.valid || sh.shared.putOff == s {
		return 0
	}
	sh.shared.putOff = s
	return rand.N(max(0, s.expires()-s.age(time.Now()))/5*4 + 1)
}

// lock takes the refresh lock. If other processes have held it for longer than any
// refresh takes, and nothing came of that, a second lock lets one process at a
// time ask all the same.
func (sh *sharing) lock(ctx context.Context, box *seal.Box) (*lease, error) {
	l, err := sh.tryLock(ctx, box.Name(tokenEntry))
	now, st := time.Now(), sh.shared
	if !errors.Is(err, ErrLocked) {
		st.lockedSince = time.Time{}
		return l, err
	}
	if st.lockedSince.IsZero() || elapsed(st.lockSeen, now) > sh.stuck { // it may have been free meanwhile
		st.lockedSince = now
	}
	st.lockSeen = now
	if elapsed(st.lockedSince, now) > sh.stuck {
		if failed, _, _ := sh.read(ctx, box.Name(failureEntry)); failed == nil {
			return sh.tryLock(ctx, box.Name("stuck"))
		}
		st.lockedSince = now // the lock has changed hands
	}
	return l, err
}
