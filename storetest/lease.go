package storetest

// What becomes of a lock whose holder dies, and of one whose holder lives.

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

// part is what one process does in lease.
type part func(t testing.TB, open opener)

// lease plays two processes, each in a bubble with a clock of its own. The dead
// one's stands still while it waits for a channel from outside of its bubble;
// the heir's goes by ticks, as a rule of the real time. In the end the dead one wakes up, as one
// does after SIGCONT, and must do no harm.
func lease(t testing.TB, ticks <-chan time.Duration, process func(name string, play part)) {
	const limit = 10 * lapse
	unlocked, renewed, living := newKey(), newKey(), newKey() // the first two are the dead one's

	ready, died, inherited, over := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		process("dead holder", func(t testing.TB, open opener) {
			defer close(over)
			die := sync.OnceFunc(func() { close(died) })
			defer die()
			s := open()
			<-ready
			_, unlock := lock(t, t.Context(), s, unlocked)
			held, unlockLost := lock(t, t.Context(), s, renewed)
			die()
			<-inherited

			unlock()
			wantEnd(t, held, lapse, "though another process has the lock")
			unlockLost()
		})
	})
	wg.Go(func() {
		process("heir", func(t testing.TB, open opener) {
			inherit := sync.OnceFunc(func() { close(inherited) })
			defer inherit()
			begin := sync.OnceFunc(func() { close(ready) })
			defer begin()
			a, b := open(), open()
			// Renewals that go on after unlock would keep the dead one's locks.
			for _, key := range []string{unlocked, renewed} {
				_, unlock := lock(t, t.Context(), a, key)
				unlock()
			}
			held, unlock := lock(t, t.Context(), a, living)
			begin()
			<-died
			wantLocked(t, b, unlocked)
			wantLocked(t, b, renewed)

			heirs := map[string]context.Context{} // key → its new lease
			unlocks := []func(){unlock}
			for began := time.Now(); time.Since(began) < holdFor; time.Sleep(<-ticks) {
				wantLocked(t, b, living)
				if held.Err() != nil {
					t.Fatalf("the lease of a living holder ended: %v", context.Cause(held))
				}
				for _, key := range []string{unlocked, renewed} {
					switch next, unlock, err := b.TryLock(t.Context(), key); {
					case heirs[key] != nil && !errors.Is(err, tokensource.ErrLocked):
						t.Fatalf("TryLock of a taken lock = %v, want ErrLocked", err)
					case err == nil:
						heirs[key] = next
						unlocks = append(unlocks, unlock)
					case !errors.Is(err, tokensource.ErrLocked):
						t.Fatalf("TryLock: %v", err)
					case heirs[key] == nil && time.Since(began) > lapse:
						t.Fatalf("the lock of a dead holder is still taken after %v", lapse)
					}
				}
				if len(heirs) == 2 {
					inherit()
				}
			}
			<-over
			for key, held := range heirs {
				wantLocked(t, a, key)
				if held.Err() != nil {
					t.Fatalf("an old holder ended the new one's lease: %v", context.Cause(held))
				}
			}
			for _, unlock := range unlocks {
				unlock()
			}
			wantEnd(t, held, prompt, "after unlock")
			for _, key := range []string{unlocked, renewed, living} {
				_, unlock := lockSoon(t, a, key, prompt, "after unlock")
				unlock()
			}
		})
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("a process did not end within %v: a handle left goroutines behind that t.Cleanup does not end", limit)
	}
}

// realTime returns the time that passes, in ticks, for a clock that is to go
// with it.
func realTime() (ticks <-chan time.Duration, stop func()) {
	out, stopped := make(chan time.Duration), make(chan struct{})
	go func() {
		tick := time.NewTicker(step)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case now := <-tick.C:
				select {
				case out <- now.Sub(last):
					last = now
				case <-stopped:
					return
				}
			case <-stopped:
				return
			}
		}
	}()
	return out, func() { close(stopped) }
}
