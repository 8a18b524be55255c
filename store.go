package tokensource

// Tokens shared between processes: those with the same credentials cost the
// provider what one of them costs.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/seal"
)

const (
	storeTimeout = time.Second            // until the Store gave a token or the lock; and for what is saved later
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
	lockedSince time.Time // by other processes,
	lockSeen    time.Time // and when it was found locked last; zero if it changed hands since
	putOff      *snapshot // the token whose refresh was put off since the Store fails
}

// sharing is the Store's side of one refresh.
type sharing struct {
	store    Store
	identify func(context.Context) (box *seal.Box, fingerprint uint64, err error)
	begin    func() bool // makes Close wait; not after that
	end      func()
	report   func(error)
	early    time.Duration // as in Cache
	timeout  time.Duration // FetchTimeout: a lock that is held for longer counts as stuck
	patience time.Duration // with the Store, until it has a token or the lock
	left     time.Duration // of the valid token; 0 if there is none: callers wait
	inline   bool          // see Cache.Synchronous
	flight   *flight
	shared   *sharedState

	box         *seal.Box // of the credentials of this moment
	fingerprint uint64    // as in Error
}

// sharing returns the Store's side of f; c.mu is held.
func (c *Cache) sharing(ctx context.Context, f *flight, timeout time.Duration, valid bool) *sharing {
	longest, left := timeout, time.Duration(0)
	if end, ok := ctx.Deadline(); valid {
		left = max(1, f.earlier.expires()-f.earlier.age(f.start))
	} else if ok { // a caller waits, and the provider needs time too
		longest = min(timeout, time.Until(end))
	}
	return &sharing{
		store: c.Store, identify: c.identify, begin: c.begin, end: c.end,
		report: func(err error) { c.report(f, Event{Kind: EventStoreFailed, Err: err}) },
		early:  c.EarlyRefresh, timeout: timeout, patience: min(storeTimeout, longest/4),
		left: left, inline: c.Synchronous, flight: f, shared: &c.rare().shared,
	}
}

// identify derives the entries' names and keys from what decides who may share
// the token.
func (c *Cache) identify(ctx context.Context) (box *seal.Box, fingerprint uint64, err error) {
	var identity []byte
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
	box, err = seal.New(identity)
	return box, fingerprint, err
}

// look is the step that only finds what another process left.
func (sh *sharing) look(ctx context.Context, earlier *snapshot) (_ *snapshot, err error) {
	ctx, cancel := within(ctx, min(sh.patience, lookTimeout))
	defer cancel()
	if sh.box, sh.fingerprint, err = sh.identify(ctx); err != nil {
		return nil, err
	}
	return sh.find(ctx, earlier)
}

// share takes the token that another process got, or gets one with next, alone,
// and saves it for the others. What next fails with is shared, too.
func (sh *sharing) share(next step) step {
	return func(ctx context.Context, earlier *snapshot) (_ *snapshot, err error) {
		if sh.box, sh.fingerprint, err = sh.identify(ctx); err != nil {
			return nil, err
		}
		for pause := pollMin; ; pause = min(2*pause, pollMax) {
			s, l, err := sh.turn(ctx, earlier)
			switch {
			case found(s, err):
				return s, err
			case err == nil:
				return sh.refresh(ctx, l, earlier, next)
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case !errors.Is(err, ErrLocked):
				sh.report(err)
				if sh.left > 0 && sh.shared.putOff != earlier {
					// The processes spread over what is left of the early window.
					sh.shared.putOff = earlier
					return nil, &postponed{rand.N(sh.left/5*4 + 1)}
				}
				s, _, err := sh.fetch(ctx, earlier, next)
				return s, err
			case sh.left > 0:
				return nil, &postponed{jittered(pollMax)}
			}
			sh.flight.progress.err.Store(&err) // what there was to wait for, if it takes too long
			select {
			case <-time.After(jittered(pause)):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
}

// turn returns what another process left; if that is nothing, the lock, unless it
// is too late to use that. A slow Store must not use up the time that the provider
// needs.
func (sh *sharing) turn(ctx context.Context, earlier *snapshot) (*snapshot, *lease, error) {
	storeCtx, cancel := within(ctx, sh.patience)
	defer cancel()
	s, err := sh.loadToken(storeCtx, earlier)
	if !errors.Is(err, ErrNotFound) {
		return s, nil, err
	}
	l, err := sh.lock(storeCtx)
	if err != nil {
		return nil, nil, err
	}
	// Another process may have been here between the look and the lock.
	s, err = sh.find(storeCtx, earlier)
	if found(s, err) || ctx.Err() != nil {
		sh.finish(ctx, l, nil)
		return s, nil, err
	}
	return nil, l, nil
}

// find returns the token that another process got, or else what it failed with
// just now, or ErrNotFound.
func (sh *sharing) find(ctx context.Context, earlier *snapshot) (*snapshot, error) {
	s, err := sh.loadToken(ctx, earlier)
	if errors.Is(err, ErrNotFound) {
		err = sh.loadFailure(ctx)
	}
	return s, err
}

// found reports whether find found anything.
func found(s *snapshot, err error) bool {
	_, failed := err.(*failure)
	return s != nil || failed
}

// lock takes the refresh lock. If another process has it, what that failed with
// before is the error. If others have held it for longer than any refresh takes, and
// nothing came of that, a second lock lets one process at a time ask all the same.
func (sh *sharing) lock(ctx context.Context) (*lease, error) {
	l, err := sh.tryLock(ctx, tokenEntry)
	now, st := time.Now(), sh.shared
	if !errors.Is(err, ErrLocked) {
		st.lockSeen = time.Time{}
		return l, err
	}
	if failed := sh.loadFailure(ctx); found(nil, failed) {
		return nil, failed
	}
	switch {
	case elapsed(st.lockSeen, now) > sh.timeout: // it may have been free meanwhile
		st.lockedSince = now
	case elapsed(st.lockedSince, now) > sh.timeout:
		l, err = sh.tryLock(ctx, "stuck")
	}
	st.lockSeen = now
	return l, err
}

// refresh gets a token under the lock. Saving it and giving the lock back take
// their time without a caller that waits; Close waits for them.
func (sh *sharing) refresh(ctx context.Context, l *lease, earlier *snapshot, next step) (s *snapshot, err error) {
	// A source may hang beyond ctx: the lock is given back all the same, soon after
	// that, or at once if Close waits for it.
	context.AfterFunc(ctx, func() {
		grace := storeTimeout
		if errors.Is(context.Cause(ctx), ErrClosed) {
			grace = 0
		}
		time.AfterFunc(grace, l.unlock)
	})
	var save func(context.Context) error
	defer func() { sh.finish(ctx, l, save) }() // also if next panics
	s, save, err = sh.fetch(ctx, earlier, next)
	return s, err
}

// fetch gets a token with next, and what saves it, or the failure.
func (sh *sharing) fetch(ctx context.Context, earlier *snapshot, next step) (*snapshot, func(context.Context) error, error) {
	s, err := next(ctx, earlier)
	switch {
	case err == nil && s == earlier:
		return s, nil, nil
	case err == nil:
		// Higher than any that this process has seen, whatever its clock says, and
		// than those it has not seen, too, if the clocks roughly agree.
		version := max(sh.shared.newest+1, s.issued.UnixMilli())
		sh.shared.newest = version
		return s, func(ctx context.Context) error { return sh.saveToken(ctx, s, version) }, nil
	case errors.Is(context.Cause(ctx), ErrClosed): // the provider did not fail
		return nil, nil, err
	}
	f := sh.flight.failed(sh.flight.prior, err, time.Now())
	shared := *f // which the landing may change
	return nil, func(ctx context.Context) error { return sh.saveFailure(ctx, &shared) }, f
}

// finish saves, if there is anything to be saved, and gives the lock back. What is
// overdue has to take it again; what came under a lease that was lost is not saved,
// for another process may have a newer token by now.
func (sh *sharing) finish(ctx context.Context, l *lease, save func(context.Context) error) {
	overdue := ctx.Err() != nil
	finished := guard.Go(func() (any, error) { // it calls foreign code
		defer l.unlock()
		if save == nil {
			return nil, nil
		}
		err := context.Cause(l.held)
		if err != nil && overdue {
			if l, err = sh.tryLock(background, tokenEntry); err == nil {
				defer l.unlock()
			}
		}
		if err == nil {
			ctx, cancel := within(l.held, storeTimeout)
			defer cancel()
			err = save(ctx)
		}
		if err != nil && !errors.Is(err, ErrLocked) { // else another process is at it
			sh.report(fmt.Errorf("what came of the refresh was not saved: %w", err))
		}
		return nil, nil
	})
	if sh.inline { // nothing goes on behind the caller's back
		<-finished
	}
}
