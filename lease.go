package tokensource

// A refresh under the Store's lock: what happens to the lease, and what is saved
// before it is given back.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
	"github.com/tokensource-go/tokensource/internal/seal"
)

// refresh gets a token under the lock. Saving it and giving the lock back take
// their time without a caller that waits.
func (sh *sharing) refresh(ctx context.Context, box *seal.Box, l *lease, earlier *snapshot, next step) (*snapshot, error) {
	outcome, finished := make(chan func(*lease) error, 1), make(chan struct{})
	if !sh.detach(func() {
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
	case err != nil && errors.Is(context.Cause(ctx), ErrClosed): // the provider did not fail
		return nil, err
	case err != nil:
		f := sh.prior.then(asError(sh.provider, err), sh.start, time.Now(), int(sh.progress.attempts.Load()))
		shared := *f // which the landing may change
		outcome <- func(l *lease) error { return sh.saveFailure(box, l, &shared) }
		return nil, f
	case s != earlier && !s.single:
		version := sh.shared.nextVersion(s)
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
		sh.detach(func() {
			if l, err := sh.tryLock(background, box.Name(tokenEntry)); err == nil {
				sh.finish(l, save)
			}
		})
	}
}

// release gives a lock back that was not needed, without a caller that waits.
func (sh *sharing) release(l *lease) {
	if l != nil && (sh.inline || !sh.detach(l.unlock)) {
		l.unlock()
	}
}

type lease struct {
	held   context.Context
	unlock func()
}

// tryLock bounds the attempt, not the lease.
func (sh *sharing) tryLock(ctx context.Context, key string) (*lease, error) {
	leaseCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l, err := inTime(ctx, func(ctx context.Context) (*lease, error) {
		held, unlock, err := sh.store.TryLock(leaseCtx, key)
		if err == nil && (held == nil || unlock == nil) {
			err = errors.New("the store's TryLock returned neither a lease nor an error")
		}
		if err != nil {
			return nil, err
		}
		l := &lease{held, func() {
			inTime(background, func(context.Context) (any, error) { unlock(); return nil, nil })
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
func inTime[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := within(ctx, storeTimeout)
	defer cancel()
	return guard.Await(ctx, func() (T, error) { return call(ctx) })
}

// within bounds what the Store may take of ctx.
func within(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("the store did not answer within %v: %w", patience, context.DeadlineExceeded))
}
