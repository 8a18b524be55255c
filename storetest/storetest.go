// Package storetest holds any [tokensource.Store] to the rules of the
// interface, and has one in memory for tests.
//
//	func TestStore(t *testing.T) {
//		dir := t.TempDir()
//		storetest.Run(t, func(*testing.T) tokensource.Store { return &mystore.Store{Dir: dir} })
//	}
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	holdFor  = 3 * time.Second  // a lock, to see its lease renewed
	prompt   = time.Second      // the Cache gives up on a call that takes longer
	patience = 20 * time.Second // for a ttl or a lease to run out
	step     = 20 * time.Millisecond

	keep = time.Hour // the ttl of what is not to expire
)

// Crasher is what newStore's stores may implement as well, so that Run sees
// what becomes of a lock whose holder dies. A test does so by wrapping the store
// that it tests.
type Crasher interface {
	// Crash cuts this handle off from its data for good, as kill -9 or a cut
	// wire does: the locks that it holds are neither renewed nor unlocked.
	Crash()
}

// Run tests newStore's stores, each rule as a subtest, in some 5 s of real time.
//
// Each call of newStore returns another handle on the same data, as another
// process would have one: calls with the same t at least. Where they turn out
// not to share it, Run says so in the log, and one handle stands for all
// processes. Keys are random, so the data may live on from one run to the next.
//
// Give the store a lease of 1 s if it can be set: a lock is held for 3 s to see
// its lease renewed, and a [Crasher]'s must lapse within 20 s.
//
// Keys of other than the interface's characters may be refused with an error;
// those accepted must be kept apart.
func Run(t *testing.T, newStore func(t *testing.T) tokensource.Store) {
	shared := sharesData(t, newStore(t), newStore(t))
	if !shared {
		t.Log("newStore's stores do not share their data: what two processes see of each other is not tested")
	}
	_, crashes := newStore(t).(Crasher)
	if !crashes {
		t.Log("newStore's stores are no storetest.Crasher: the death of a lock's holder is not tested")
	}
	for _, c := range checks {
		if c.crash && !(crashes && shared) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			open := func() tokensource.Store { return newStore(t) }
			if !shared {
				only := newStore(t)
				open = func() tokensource.Store { return only }
			}
			c.run(t, open)
		})
	}
}

type check struct {
	name  string
	run   func(t testing.TB, open func() tokensource.Store)
	crash bool // needs a Crasher
}

var checks = []check{
	{name: "round trip", run: roundTrip},
	{name: "values as they are", run: valuesAsTheyAre},
	{name: "ttl", run: ttl},
	{name: "compare and delete", run: compareAndDelete},
	{name: "hostile keys", run: hostileKeys},
	{name: "concurrent entries", run: concurrentEntries},
	{name: "cancelled context", run: cancelledContext},
	{name: "lock", run: lockAndUnlock},
	{name: "lock ends with its context", run: lockEndsWithContext},
	{name: "one holder at a time", run: oneHolder},
	{name: "lease renewal", run: leaseRenewal},
	{name: "crashed holder", run: crashedHolder, crash: true},
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
func lockSoon(t testing.TB, s tokensource.Store, key, when string) (context.Context, func()) {
	t.Helper()
	var held context.Context
	var unlock func()
	eventually(t, patience, "the lock is free "+when, func() bool {
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

func wantEnd(t testing.TB, held context.Context, when string) {
	t.Helper()
	select {
	case <-held.Done():
	case <-time.After(prompt):
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
