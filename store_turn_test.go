package tokensource_test

// What a process does when it is its turn, or is not: how long it waits, what it
// learns meanwhile, and what it leaves behind.

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
)

// coldLock has another process hold the refresh lock of a store without a token.
func (f *fleet) coldLock(t *testing.T) (unlock func()) {
	t.Helper()
	if a := ask(t.Context(), f.join(t)); a.err != nil {
		t.Fatal(a.err)
	}
	unlock = f.takeLock(t)
	key, value := f.entry(t)
	if err := f.store.Delete(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	last := len(f.members) - 1
	f.members[last].Close()
	f.members = f.members[:last]
	return unlock
}

// A process that gets the lock just before its FetchTimeout does not ask any more,
// so there is no failure of the provider to share.
func TestLockAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		time.AfterFunc(fetchTimeout-lookAgain-100*time.Millisecond, f.coldLock(t))
		before := f.requests()
		var on, locked atomic.Bool
		on.Store(true)
		m.Store = newFaultyStore(m.store, &on, storeFault{
			call: func(ctx context.Context, method string) error {
				if method == "Load" && locked.Load() {
					return pause(ctx, storeTimeout)
				}
				return nil
			},
			lock: func(held context.Context, unlock func(), err error) (context.Context, func(), error) {
				locked.Store(err == nil)
				return held, unlock, err
			},
		})
		if a := ask(t.Context(), m); !errors.Is(a.err, context.DeadlineExceeded) || a.waited != fetchTimeout {
			t.Errorf("%+v, want a failure after FetchTimeout", a)
		}
		time.Sleep(2 * storeTimeout)
		f.wantRequests(t, before)
		if !locked.Load() || len(f.store.Entries()) > 0 {
			t.Error("a failure is shared, though the provider was not asked")
		}
	})
}

// Two processes that both saw the lock taken once, and then were idle, took the
// next holder for a stuck one: it had been seen for longer than FetchTimeout.
func TestLockSeenLongAgoIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.wantSame(t, blinkLatency+lookAgain)
		unlock := f.takeLock(t)
		time.Sleep(28 * time.Minute) // they look
		unlock()
		time.Sleep(24 * time.Hour) // without a call they give up
		before := f.requests()
		const slow = 3 * time.Second
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: slow})
		f.wantSame(t, slow+lookAgain)
		f.wantRequests(t, before+1)
	})
}

// A token is as new as its request: one that took long must not replace one that
// was asked for since.
func TestLateTokenReplacesNoNewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 0)
		share := func(call int, latency, timeout time.Duration) *tokensource.Cache {
			src := &scriptedSource{latency: latency, reply: func(int) (*oauth2.Token, error) { return lasting(call, time.Hour) }}
			return &tokensource.Cache{Source: src, Store: f.store.Handle(), StoreKey: []byte("key"), FetchTimeout: timeout}
		}
		late, quick := share(1, time.Minute, time.Hour), share(2, blinkLatency, 10*time.Second)
		go ask(t.Context(), late)
		synctest.Wait()
		for ask(t.Context(), quick).err != nil { // the lock seems stuck after 10 s
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		wantToken(t, late, "token-1")
		wantToken(t, share(3, blinkLatency, 10*time.Second), "token-2")
	})
}

// Synchronous means that nothing goes on behind the caller's back.
func TestSynchronousUnlocksFirst(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"with the token that another process got":      {Delay: blinkLatency},
		"with the failure that another process shared": {Delay: blinkLatency, Status: http.StatusBadRequest},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 2)
			f.Always(sandbox.Blink, sandbox.Token, fault)
			m := f.members[1]
			m.Synchronous = true
			unlocked, lock := false, ""
			m.store.Before = func(ctx context.Context, method, key string) error {
				switch method {
				case "TryLock": // until the other one is done
					lock = key
					return pause(ctx, 2*blinkLatency)
				case "unlock":
					pause(ctx, blinkLatency)
					unlocked = true
				}
				return nil
			}
			go ask(t.Context(), f.members[0])
			a := ask(t.Context(), m)
			if f.requests() != 1 || (a.err != nil) != (fault.Status != 0) {
				t.Fatalf("%+v after %d requests", a, f.requests())
			}
			if _, _, err := f.store.Handle().TryLock(t.Context(), lock); err != nil || !unlocked {
				t.Errorf("when the call returns, the lock: %v", err)
			}
		})
	}
}

// A quarter of the caller's time is for all calls of the Store together.
func TestSlowStoreLeavesTheProviderItsTime(t *testing.T) {
	for name, slow := range map[string]time.Duration{
		"each call takes a quarter of the time":   900 * time.Millisecond,
		"each call takes a twelfth of the time":   330 * time.Millisecond,
		"each call takes a hundredth of the time": 40 * time.Millisecond,
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 1)
			f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 2900 * time.Millisecond})
			m := f.members[0]
			m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, slow) }
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if a := ask(ctx, m); a.err != nil {
				t.Errorf("%+v", a)
			}
			time.Sleep(time.Second)
		})
	}
}

// Processes that waited took the lock one after the other to learn what its
// holder had failed with: the slower the store, the longer the queue.
func TestAllLearnOfAFailureAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 40)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusUnauthorized, Delay: blinkLatency})
		var wg sync.WaitGroup
		for i, m := range f.members {
			m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, 100*time.Millisecond) }
			wg.Go(func() {
				if a := ask(t.Context(), m); !errors.Is(a.err, tokensource.ErrCredentials) || a.waited > 3*time.Second {
					t.Errorf("process %d: %+v", i, a)
				}
			})
		}
		wg.Wait()
		f.wantRequests(t, 1)
	})
}

// While provider and store are both out of reach, a call waited a second for the
// look into the store, each second.
func TestHeldCallsHardlyWaitForAHungStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}})
		m := f.members[0]
		m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, time.Hour) }
		if a := ask(t.Context(), m); a.err == nil {
			t.Fatal("the provider did not refuse")
		}
		var waited time.Duration
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			waited += ask(t.Context(), m).waited
		}
		if waited > 30*200*time.Millisecond {
			t.Errorf("calls waited for %v of 30s", waited)
		}
		f.wantRequests(t, 1)
	})
}
