package storetest

// A lock with a lease, as a server might keep it, and what can be wrong with it.

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource"
)

// locks is a table of locks with a lease of 3 s, and with faults.
type locks struct {
	deaf       bool // to the end of a lock's context
	forever    bool // a lock is taken until unlock
	once       bool // the lease is not renewed
	blind      bool // held ends with unlock only
	unlocksAny bool // whichever lock is there
	renewsAny  bool
	restless   bool // renewal ends never

	mu   sync.Mutex
	last int            // holder
	rows map[string]row // key → its lock
}

type row struct {
	holder int
	until  time.Time
}

func (l *locks) broken() broken {
	l.rows = map[string]row{}
	return broken{tryLock: func(_ *Memory, ctx context.Context, key string) (context.Context, func(), error) {
		return l.tryLock(ctx, key)
	}}
}

func (l *locks) tryLock(ctx context.Context, key string) (context.Context, func(), error) {
	const lease = 3 * time.Second
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, taken := l.rows[key]; ctx.Err() != nil || taken && (l.forever || time.Now().Before(r.until)) {
		return nil, nil, cmp.Or(ctx.Err(), tokensource.ErrLocked)
	}
	l.last++
	own := row{l.last, time.Now().Add(lease)}
	l.rows[key] = own
	held, end := context.WithCancel(ctx)
	if l.deaf {
		held, end = context.WithCancel(context.WithoutCancel(ctx))
		context.AfterFunc(ctx, end)
	}
	done := make(chan struct{})
	unlock := sync.OnceFunc(func() {
		close(done)
		end()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.unlocksAny || l.rows[key].holder == own.holder {
			delete(l.rows, key)
		}
	})
	if !l.deaf {
		context.AfterFunc(held, unlock)
	}
	var renew func()
	renew = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		r, ok := l.rows[key]
		select {
		case <-done:
			if !l.restless || !ok {
				return
			}
		default:
		}
		switch {
		case r.holder == own.holder, l.renewsAny:
			r.until = time.Now().Add(lease)
			l.rows[key] = r
		case !l.blind:
			end()
			return
		}
		time.AfterFunc(lease/3, renew)
	}
	if !l.once {
		time.AfterFunc(lease/3, renew)
	}
	return held, unlock, nil
}
