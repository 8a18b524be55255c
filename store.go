package tokensource

// Tokens shared between processes: those with the same credentials cost the
// provider what one of them costs.

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/seal"
)

const (
	storeTimeout = time.Second            // of one call of the Store,
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

	errNoStoreKey = errors.New("the Cache has a Store, and a Source that is no Provider: set StoreKey to secret bytes that only processes with the same credentials share")
)

// others is what one refresh with a Store leaves to the next.
type others struct {
	newest int64     // the version of the newest token seen
	since  time.Time // the lock has been another process's; zero if it is not
	seen   time.Time // when it was seen so last
	broken *snapshot // the token whose refresh was put off since the Store fails
}

// sharing is the Store's side of one refresh.
type sharing struct {
	store    Store
	identity func(context.Context) (identity []byte, fingerprint uint64, err error)
	provider string
	early    time.Duration // as in Cache
	patience time.Duration // with the Store, each time it is asked
	stuck    time.Duration // a lock held for longer is
	valid    bool          // there is a token: no caller waits
	inline   bool          // see Cache.Synchronous
	prior    *failure
	start    time.Time
	progress *progress
	others   *others
	looked   time.Time // at the failure of the process that has the lock
	report   func(error)
	later    func(func()) bool // does work that no caller waits for, but Close; not after that

	fingerprint uint64 // of the credentials, as in Error
}

// sharing returns the Store's side of f; c.mu is held.
func (c *Cache) sharing(ctx context.Context, f *flight, timeout time.Duration, valid bool) *sharing {
	patience := storeTimeout
	if end, ok := ctx.Deadline(); ok && !valid { // a caller waits, and the provider needs time too
		patience = min(patience, time.Until(end)/4)
	}
	return &sharing{
		store: c.Store, identity: c.identity, provider: c.about().name, early: c.EarlyRefresh,
		patience: min(patience, timeout/4), stuck: timeout, valid: valid, inline: c.Synchronous,
		prior: f.prior, start: f.start, progress: &f.progress, others: &c.rare().others,
		report: func(err error) { c.report(f, Event{Kind: EventStoreFailed, Err: err}) },
		later: func(work func()) bool {
			open := c.begin()
			if open {
				go func() {
					defer c.end()
					work()
				}()
			}
			return open
		},
	}
}

// identity is what decides who may share the token.
func (c *Cache) identity(ctx context.Context) (identity []byte, fingerprint uint64, err error) {
	if e := c.about().endpoint; e != nil {
		if identity, err = e.identity(ctx); err != nil {
			return nil, 0, err
		}
		fingerprint = maphash.Bytes(fingerprintSeed, identity)
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
			switch {
			case s != nil:
				sh.others.since = time.Time{}
				return s, nil
			case ctx.Err() != nil:
				sh.release(l)
				return nil, context.Cause(ctx)
			case l != nil:
				return sh.refresh(ctx, box, l, earlier, next)
			case errors.As(err, new(*failure)):
				return nil, err
			case !errors.Is(err, ErrLocked):
				sh.report(err)
				if wait := sh.putOff(earlier); wait > 0 {
					return nil, &later{wait}
				}
				s, err := next(ctx, earlier)
				if err == nil && s != earlier {
					sh.others.nextVersion(s)
				}
				return s, err
			case sh.valid:
				return nil, &later{jittered(pollMax)}
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

// turn asks the Store once, within its patience: for a token, else for the lock,
// and then for the failure of the process that had it. One that waits for the
// lock learns of that too, before its pause is over: in about every other turn.
func (sh *sharing) turn(ctx context.Context, box *seal.Box, earlier *snapshot) (*snapshot, *lease, error) {
	ctx, cancel := within(ctx, sh.patience)
	defer cancel()
	s, err := sh.load(ctx, box, earlier)
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

// release gives a lock back that was not needed, without a caller that waits.
func (sh *sharing) release(l *lease) {
	if l != nil && (sh.inline || !sh.later(l.unlock)) {
		l.unlock()
	}
}

// putOff spreads the refreshes of processes whose Store fails over what is left
// of their early window: each asks for itself then.
func (sh *sharing) putOff(s *snapshot) time.Duration {
	if !sh.valid || sh.others.broken == s {
		return 0
	}
	sh.others.broken = s
	return rand.N(max(0, s.expires-s.age(time.Now()))*4/5 + 1)
}

// lock takes the refresh lock. If it has been another process's for longer than
// any refresh takes, and nothing came of that, this one may ask beside it: one
// process at a time.
func (sh *sharing) lock(ctx context.Context, box *seal.Box) (*lease, error) {
	l, err := sh.tryLock(ctx, box.Name(tokenEntry))
	now, o := time.Now(), sh.others
	if !errors.Is(err, ErrLocked) {
		o.since = time.Time{}
		return l, err
	}
	if o.since.IsZero() || elapsed(o.seen, now) > sh.stuck { // it may have been free meanwhile
		o.since = now
	}
	o.seen = now
	if elapsed(o.since, now) > sh.stuck {
		if failed, _, _ := sh.read(ctx, box.Name(failureEntry)); failed == nil {
			return sh.tryLock(ctx, box.Name("stuck"))
		}
		o.since = now // the lock has changed hands
	}
	return l, err
}

// refresh gets a token under the lock. Saving it and giving the lock back take
// their time without a caller that waits.
func (sh *sharing) refresh(ctx context.Context, box *seal.Box, l *lease, earlier *snapshot, next step) (*snapshot, error) {
	outcome, finished := make(chan func(*lease) error, 1), make(chan struct{})
	if !sh.later(func() {
		defer close(finished)
		save, late := await(ctx, outcome)
		sh.finish(l, save)
		if late {
			go sh.saveLate(box, outcome)
		}
	}) {
		l.unlock()
		return nil, ErrClosed
	}
	if sh.inline { // nothing goes on behind the caller's back
		defer func() { <-finished }()
	}
	defer close(outcome) // also if next panics
	s, err := next(ctx, earlier)
	switch {
	case err != nil:
		f := sh.prior.next(asError(sh.provider, err), sh.start, time.Now(), int(sh.progress.attempts.Load()))
		shared := *f // which the landing may change
		outcome <- func(l *lease) error { return sh.saveFailure(box, l, &shared) }
		return nil, f
	case s != earlier && !s.single:
		version := sh.others.nextVersion(s)
		outcome <- func(l *lease) error { return sh.save(box, l, s, version) }
	}
	return s, nil
}

// await returns what there is to be saved. A source may not end with ctx: then
// the outcome is late, and the lock is given back without it.
func await(ctx context.Context, outcome <-chan func(*lease) error) (save func(*lease) error, late bool) {
	select {
	case save = <-outcome:
		return save, false
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return nil, false
	}
	select {
	case save = <-outcome:
		return save, false
	case <-time.After(storeTimeout):
		return nil, true
	}
}

// finish saves and gives the lock back.
func (sh *sharing) finish(l *lease, save func(*lease) error) {
	defer l.unlock()
	if save != nil {
		if err := save(l); err != nil {
			sh.report(err)
		}
	}
}

// saveLate saves what came after the lock was given back, unless another process
// has that by now.
func (sh *sharing) saveLate(box *seal.Box, outcome <-chan func(*lease) error) {
	if save := <-outcome; save != nil {
		sh.later(func() {
			if l, err := sh.tryLock(background, box.Name(tokenEntry)); err == nil {
				sh.finish(l, save)
			}
		})
	}
}

type lease struct {
	held   context.Context
	unlock func()
}

// tryLock bounds the attempt, not the lease.
func (sh *sharing) tryLock(ctx context.Context, key string) (*lease, error) {
	leaseCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l, err := inTime(ctx, sh.patience, func(ctx context.Context) (*lease, error) {
		held, unlock, err := sh.store.TryLock(leaseCtx, key)
		if err == nil && (held == nil || unlock == nil) {
			err = errors.New("the store's TryLock returned neither a lease nor an error")
		}
		if err != nil {
			return nil, err
		}
		l := &lease{held, func() {
			inTime(context.Background(), storeTimeout, func(context.Context) (any, error) { unlock(); return nil, nil })
			cancel()
		}}
		if ctx.Err() != nil { // too late
			l.unlock()
		}
		return l, nil
	})
	if err != nil {
		cancel()
	}
	return l, err
}

// inTime makes one call of the Store, whose faults must not become the caller's:
// it may hang or panic.
func inTime[T any](ctx context.Context, patience time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := within(ctx, patience)
	defer cancel()
	return guard.Await(ctx, func() (T, error) { return call(ctx) })
}

// within bounds what the Store may take of ctx.
func within(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("the store did not answer within %v: %w", patience, context.DeadlineExceeded))
}
