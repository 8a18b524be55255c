// Package storetest holds any [tokensource.Store] to the rules of the
// interface, and has one in memory for tests.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	prompt  = time.Second     // the Cache gives up on a call that takes longer
	slack   = time.Second     // of a store's clock
	lapse   = 5 * time.Second // a dead holder's lock, at the latest
	holdFor = 6 * time.Second // longer than any lease that passes, to see it renewed
	step    = 20 * time.Millisecond

	keep = time.Hour // the ttl of what is not to expire
)

// Run tests newStore's stores, each rule as a subtest, in some 10 s of real
// time.
//
// Each call of newStore returns another handle on the same data, as another
// process would have one: calls with the same t at least. If they turn out not
// to share it, Run says so in the log, and one handle plays all processes. Keys
// are random, so the data may live on from one run to the next.
//
// # Dead holders
//
// A lock's lease is 3 s as a rule. Run wants the lock of a dead holder to be
// free within 5 s, so give the store no longer lease. To see a process die, Run
// plays it in a [testing/synctest] bubble whose clock it stops: none of its
// timers fires any more, so nothing is renewed. It calls newStore in there as
// well. What a handle starts that lives longer than a lock, as connections and
// goroutines, newStore therefore opens for that handle and closes in t.Cleanup;
// the test cannot end before. A client that waits for its network all the time,
// as one of Redis Sentinel, would hold up that clock: open such clients before
// Run, and have newStore hand them out.
//
// Keys of other than the interface's characters may be refused with an error;
// those accepted must be kept apart.
func Run(t *testing.T, newStore func(t *testing.T) tokensource.Store) {
	a, b := newStore(t), newStore(t)
	of := func(t *testing.T) opener { return func() tokensource.Store { return newStore(t) } }
	if !sharesData(t, a, b) {
		t.Log("newStore's stores do not share their data: what two processes see of each other is not tested")
		of = func(*testing.T) opener { return func() tokensource.Store { return a } }
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, of(t)) })
	}
	t.Run("lease", func(t *testing.T) {
		if b := newStore(t); !sharesData(t, a, b) {
			of = func(*testing.T) opener { return func() tokensource.Store { return b } }
		}
		ticks, stop := realTime()
		defer stop()
		lease(t, ticks, func(name string, play part) {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { play(t, of(t)) })
			})
		})
	})
}

// opener returns another process's handle.
type opener = func() tokensource.Store

// checks are all but that of the lease, which needs more than one clock.
var checks = []struct {
	name string
	run  func(t testing.TB, open opener)
}{
	{"round trip", roundTrip},
	{"values as they are", valuesAsTheyAre},
	{"ttl", ttl},
	{"time left", timeLeft},
	{"compare and delete", compareAndDelete},
	{"delete is atomic", deleteIsAtomic},
	{"hostile keys", hostileKeys},
	{"concurrent entries", concurrentEntries},
	{"cancelled context", cancelledContext},
	{"lock", lockAndUnlock},
	{"lock ends with its context", lockEndsWithContext},
	{"lock of a caller who left", lockOfCallerWhoLeft},
	{"one holder at a time", oneHolder},
}

func sharesData(t testing.TB, a, b tokensource.Store) bool {
	key, value := newKey(), []byte("shared")
	save(t, a, key, value)
	got, _, err := b.Load(t.Context(), key)
	return err == nil && bytes.Equal(got, value)
}

// newKey has the form of the Cache's keys.
func newKey() string { return strings.ToLower(rand.Text()) }

func save(t testing.TB, s tokensource.Store, key string, value []byte) {
	t.Helper()
	if err := s.Save(t.Context(), key, value, keep); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func wantValue(t testing.TB, s tokensource.Store, key string, want []byte) {
	t.Helper()
	got, _, err := s.Load(t.Context(), key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Load = %s, %v; want %s", brief(got), err, brief(want))
	}
}

func wantNone(t testing.TB, s tokensource.Store, key string) {
	t.Helper()
	if got, _, err := s.Load(t.Context(), key); !errors.Is(err, tokensource.ErrNotFound) {
		t.Fatalf("Load = %s, %v; want ErrNotFound", brief(got), err)
	}
}

func lock(t testing.TB, ctx context.Context, s tokensource.Store, key string) (context.Context, func()) {
	t.Helper()
	held, unlock, err := s.TryLock(ctx, key)
	switch {
	case err != nil:
		t.Fatalf("TryLock of a free lock: %v", err)
	case held == nil || unlock == nil:
		t.Fatal("TryLock returned neither an error nor a lock")
	case held.Err() != nil:
		t.Fatalf("held has ended already: %v", held.Err())
	}
	return held, unlock
}

// lockSoon is lock for a lock that is about to become free.
func lockSoon(t testing.TB, s tokensource.Store, key string, within time.Duration, when string) (context.Context, func()) {
	t.Helper()
	var held context.Context
	var unlock func()
	eventually(t, within, "the lock is free "+when, func() bool {
		var err error
		held, unlock, err = s.TryLock(t.Context(), key)
		if err != nil && !errors.Is(err, tokensource.ErrLocked) {
			t.Fatalf("TryLock: %v", err)
		}
		return err == nil
	})
	return held, unlock
}

func wantLocked(t testing.TB, s tokensource.Store, key string) {
	t.Helper()
	err := promptly(t, "TryLock of a taken lock", func() error {
		_, _, err := s.TryLock(t.Context(), key)
		return err
	})
	if !errors.Is(err, tokensource.ErrLocked) {
		t.Fatalf("TryLock of a taken lock = %v, want ErrLocked", err)
	}
}

func wantEnd(t testing.TB, held context.Context, within time.Duration, when string) {
	t.Helper()
	select {
	case <-held.Done():
	case <-time.After(within):
		t.Fatalf("held has not ended %s", when)
	}
}

func promptly(t testing.TB, what string, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(prompt):
		t.Fatalf("%s did not return within %v", what, prompt)
		return nil
	}
}

func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(step)
	defer tick.Stop()
	late := time.After(within)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not so within %v: %s", within, what)
		}
	}
}
