package tokensource

// The refresh lock as this process has it.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
)

// lease is the lock of one refresh. Close waits for unlock.
type lease struct {
	held   context.Context
	unlock func()
}

// tryLock bounds the attempt, not the lease.
func (sh *sharing) tryLock(ctx context.Context, kind string) (*lease, error) {
	if !sh.begin() {
		return nil, ErrClosed
	}
	leaseCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	gone := sync.OnceFunc(func() { cancel(); sh.end() })
	ctx, stop := within(ctx, storeTimeout)
	defer stop()
	l, err := guard.Await(ctx, func() (*lease, error) {
		held, unlock, err := sh.store.TryLock(leaseCtx, sh.box.Name(kind))
		if err == nil && (held == nil || unlock == nil) {
			err = errors.New("the store's TryLock returned neither a lease nor an error")
		}
		if err != nil {
			return nil, err
		}
		var unlocked atomic.Bool
		l := &lease{held, func() {
			if unlocked.Swap(true) {
				return
			}
			ctx, stop := within(background, storeTimeout)
			defer stop()
			guard.Await(ctx, func() (any, error) { unlock(); return nil, nil })
			gone()
		}}
		if ctx.Err() != nil { // too late
			l.unlock()
		}
		return l, nil
	})
	if err != nil {
		gone()
	}
	return l, err
}

// within bounds what the Store may take of ctx.
func within(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("the store did not answer within %v: %w", patience, context.DeadlineExceeded))
}
