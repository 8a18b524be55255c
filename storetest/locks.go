package storetest

// What must be true of the refresh lock.

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

func lockAndUnlock(t testing.TB, open opener) {
	a, b := open(), open()
	key, value := newKey(), []byte("value")

	held, unlock := lock(t, t.Context(), a, key)
	wantLocked(t, b, key)
	wantLocked(t, a, key)
	_, unlockOther := lock(t, t.Context(), b, newKey())
	defer unlockOther()

	// The lock is about refreshing only: entries stay as free as they are.
	wantNone(t, a, key)
	save(t, b, key, value)
	wantValue(t, a, key, value)
	if err := b.Delete(t.Context(), key, value); err != nil {
		t.Fatalf("Delete while locked: %v", err)
	}
	wantLocked(t, b, key)
	if held.Err() != nil {
		t.Fatalf("held has ended while the lock is held: %v", held.Err())
	}

	unlock()
	wantEnd(t, held, prompt, "after unlock")
	unlock()
	next, unlockNext := lockSoon(t, b, key, prompt, "after unlock")
	unlock()
	wantLocked(t, a, key)
	if next.Err() != nil {
		t.Fatalf("an old holder's unlock ended the new one's lease: %v", next.Err())
	}
	unlockNext()
	_, unlock = lockSoon(t, a, key, prompt, "after the second holder's unlock")
	unlock()
}

func lockEndsWithContext(t testing.TB, open opener) {
	a, b := open(), open()
	key := newKey()
	ctx, cancel := context.WithCancel(t.Context())
	held, unlock := lock(t, ctx, a, key)
	wantLocked(t, b, key)
	cancel()
	wantEnd(t, held, prompt, "with its context")
	next, unlockNext := lockSoon(t, b, key, lapse, "after its context ended")
	unlock()
	wantLocked(t, a, key)
	if next.Err() != nil {
		t.Fatalf("an old holder's unlock ended the new one's lease: %v", next.Err())
	}
	unlockNext()
}

// lockOfCallerWhoLeft has callers leave at any moment of their TryLock. The store
// itself has to give back what they can no longer be told of.
func lockOfCallerWhoLeft(t testing.TB, open opener) {
	const rounds = 50
	a, b := open(), open()
	began := time.Now()
	_, unlock := lock(t, t.Context(), a, newKey())
	takes := time.Since(began) // one TryLock by itself
	unlock()
	key := newKey()
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-time.After(mathrand.N(takes + time.Millisecond))
			cancel()
		}()
		_, unlock, err := a.TryLock(ctx, key)
		switch {
		case err == nil:
			unlock()
		case errors.Is(err, tokensource.ErrLocked):
			t.Fatal("TryLock of a free lock = ErrLocked")
		}
		<-ctx.Done()
		_, unlock = lockSoon(t, b, key, prompt, "after its caller left")
		unlock()
	}
}

// oneHolder first has everybody try at once, then everybody add to a number that
// loses additions if two do it at a time.
func oneHolder(t testing.TB, open opener) {
	const processes, threads, turns = 4, 4, 3
	key := newKey()
	ctx := t.Context()
	stores := make([]tokensource.Store, processes)
	for i := range stores {
		stores[i] = open()
	}
	everybody := func(do func(s tokensource.Store) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range processes * threads {
			wg.Go(func() {
				if err := do(stores[i%processes]); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
	}

	winners := make(chan func(), processes*threads) // their unlocks
	everybody(func(s tokensource.Store) error {
		switch _, unlock, err := s.TryLock(ctx, key); {
		case err == nil:
			winners <- unlock
		case !errors.Is(err, tokensource.ErrLocked):
			return fmt.Errorf("TryLock: %w", err)
		}
		return nil
	})
	if n := len(winners); n != 1 {
		t.Fatalf("%d of %d got the lock at the same time, want 1", n, cap(winners))
	}
	(<-winners)()

	var inside atomic.Int32
	save(t, stores[0], key, []byte("0"))
	everybody(func(s tokensource.Store) error {
		for range turns {
			_, unlock, err := s.TryLock(ctx, key)
			for errors.Is(err, tokensource.ErrLocked) {
				select {
				case <-time.After(step / 4):
				case <-ctx.Done():
				}
				_, unlock, err = s.TryLock(ctx, key)
			}
			if err != nil {
				return fmt.Errorf("TryLock: %w", err)
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d hold the lock", n)
			}
			value, _, err := s.Load(ctx, key)
			if n, _ := strconv.Atoi(string(value)); err == nil {
				err = s.Save(ctx, key, strconv.AppendInt(nil, int64(n+1), 10), keep)
			}
			inside.Add(-1)
			unlock()
			if err != nil {
				return fmt.Errorf("under the lock: %w", err)
			}
		}
		return nil
	})
	wantValue(t, stores[0], key, strconv.AppendInt(nil, processes*threads*turns, 10))
}
