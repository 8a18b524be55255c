package tokensource_test

// The refresh protocol: who asks, who waits, who takes over.

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

func TestColdStart(t *testing.T) {
	const slow = 3 * time.Second
	inBubble(t, "all wait for the one that asks", func(t *testing.T) {
		f := newFleet(t, 20)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: slow})
		f.wantSame(t, slow+lookAgain)
		f.wantRequests(t, 1)
	})
	inBubble(t, "a token that came between the look and the lock is used", func(t *testing.T) {
		f := newFleet(t, 2)
		f.members[1].store.Before = func(ctx context.Context, method, _ string) error {
			if method == "TryLock" {
				return pause(ctx, 2*blinkLatency)
			}
			return nil
		}
		f.wantSame(t, 2*blinkLatency)
		f.wantRequests(t, 1)
	})
	inBubble(t, "no longer than their own context", func(t *testing.T) {
		f := newFleet(t, 2)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: slow})
		go ask(t.Context(), f.members[0])
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := ask(ctx, f.members[1])
		if !errors.Is(a.err, context.DeadlineExceeded) || a.waited != time.Second {
			t.Errorf("error %v after %v, want the context's after 1s", a.err, a.waited)
		}
		f.wantSame(t, slow)
		f.wantRequests(t, 1)
	})
	inBubble(t, "a restarted process has the token at once", func(t *testing.T) {
		f := newFleet(t, 1)
		access := f.wantSame(t, blinkLatency)
		f.members[0].Close()
		time.Sleep(10 * time.Minute)
		wantToken(t, f.join(t), access)
		f.wantRequests(t, 1)
	})
	inBubble(t, "in the early window too, and sees to the next", func(t *testing.T) {
		f := newFleet(t, 1)
		access := f.wantSame(t, blinkLatency)
		f.members[0].Close()
		time.Sleep(27 * time.Minute)
		m := f.join(t)
		wantToken(t, m, access)
		time.Sleep(2 * blinkLatency)
		if a := ask(t.Context(), m); a.err != nil || a.access == access || a.waited > 0 {
			t.Errorf("%+v, want the next token", a)
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "a shell loop of short commands costs one request", func(t *testing.T) {
		f := newFleet(t, 0)
		for range 10 {
			m := f.join(t)
			m.Synchronous = true
			if a := ask(t.Context(), m); a.err != nil {
				t.Fatal(a.err)
			}
			m.Close()
			time.Sleep(time.Minute)
		}
		f.wantRequests(t, 1)
	})
}

func TestEarlyWindowWhileAnotherProcessRefreshes(t *testing.T) {
	inBubble(t, "the valid token stays, and the other's is taken when it is there", func(t *testing.T) {
		f := newFleet(t, 5)
		for _, m := range f.members {
			m.FetchTimeout = time.Hour // a lock held for longer would be stuck
		}
		f.wantSame(t, blinkLatency+lookAgain)
		unlock := f.takeLock(t)
		f.serve(t, time.Second, 28*time.Minute)
		f.wantRequests(t, 1)
		for _, m := range f.members {
			if m.count(tokensource.EventFailed) > 0 {
				t.Error("a refresh that another process is at is told as failed")
			}
		}
		unlock()
		f.serve(t, time.Second, blinkLatency+2*lookAgain)
		f.wantSame(t, 0)
		f.wantRequests(t, 2)
	})
	inBubble(t, "Synchronous: a call returns at once, and looks again later", func(t *testing.T) {
		f := newFleet(t, 1)
		m, looks := f.members[0], 0
		m.Synchronous, m.FetchTimeout = true, time.Hour
		m.store.Before = func(_ context.Context, method, _ string) error {
			if method == "TryLock" {
				looks++
			}
			return nil
		}
		access := f.wantSame(t, blinkLatency)
		unlock := f.takeLock(t)
		time.Sleep(28 * time.Minute)
		looks = 0
		for range 100 {
			wantToken(t, m, access)
			time.Sleep(lookAgain / 100)
		}
		if looks > 2 {
			t.Errorf("%d looks at the lock in %v, want 2 at most", looks, lookAgain)
		}
		unlock()
		time.Sleep(lookAgain)
		if a := ask(t.Context(), m); a.err != nil || a.access == access {
			t.Errorf("%+v, want another token", a)
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "Synchronous: after a failed refresh too", func(t *testing.T) {
		f := newFleet(t, 1)
		m, looks := f.members[0], 0
		m.Synchronous = true
		access := f.wantSame(t, blinkLatency)
		time.Sleep(27 * time.Minute)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
		wantToken(t, m, access) // and fails to get the next
		synctest.Wait()         // and shares that
		m.store.Before = func(_ context.Context, method, _ string) error {
			if method == "TryLock" {
				looks++
			}
			return nil
		}
		defer f.takeLock(t)()
		time.Sleep(2 * time.Second)
		for range 100 {
			wantToken(t, m, access)
			time.Sleep(lookAgain / 100)
		}
		if looks > 2 {
			t.Errorf("%d looks at the lock in %v, want 2 at most", looks, lookAgain)
		}
	})
	inBubble(t, "Synchronous: whoever has no valid token any more waits", func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		m.Synchronous = true
		f.wantSame(t, blinkLatency)
		unlock := f.takeLock(t)
		time.Sleep(29*time.Minute + 50*time.Second)
		time.AfterFunc(2*time.Second, unlock)
		a := ask(t.Context(), m)
		if a.err != nil {
			t.Fatal(a.err)
		}
		wantBetween(t, "the caller waited", a.waited, 2*time.Second, 2*time.Second+lookAgain+blinkLatency)
	})
}

// oauth2-proxy#3456: a lock of 2 s, shorter than the refresh and never renewed,
// let the next process refresh beside the first.
// A process that has a token in use, but no call just then, goes on looking until
// the other one is done.
func TestIdleProcessWaitsForAnothersRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		f.wantSame(t, time.Minute)
		unlock := f.takeLock(t)
		time.Sleep(time.Until(m.Status().NextRefresh) + 10*time.Second)
		unlock() // it died before it saved anything
		time.Sleep(time.Until(m.Status().Expiry) - 5*time.Second)
		f.wantSame(t, 0)
		f.wantRequests(t, 2)
	})
}

func TestRefreshThatTakesLongerThanTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 10)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 4 * lease})
		f.wantSame(t, 4*lease+lookAgain)
		f.wantRequests(t, 1)
	})
}

func TestHolderDiesInTheMiddleOfARefresh(t *testing.T) {
	// start has process 0 begin a refresh that would take an hour.
	start := func(t *testing.T, f *fleet) {
		dead := f.members[0]
		dead.FetchTimeout = 2 * time.Hour
		dead.Source.(*tokensource.Blink).HTTPClient = &http.Client{Transport: f, Timeout: 2 * time.Hour}
	}
	hang := sandbox.Fault{Delay: time.Hour}
	inBubble(t, "another takes over, nobody with a valid token notices", func(t *testing.T) {
		f := newFleet(t, 5)
		start(t, f)
		for i, m := range f.members {
			m.EarlyRefresh, m.FetchTimeout = 10*time.Minute, 2*time.Hour // opens after 20 to 22
			if i == 0 {
				m.EarlyRefresh = 15 * time.Minute // opens after 15 to 18
			}
		}
		first := f.wantSame(t, blinkLatency+lookAgain)
		f.Script(sandbox.Blink, sandbox.Token, hang)
		f.serve(t, time.Second, 23*time.Minute)
		f.wantRequests(t, 2)

		f.members[0].store.Crash()
		f.members = f.members[1:]
		f.serve(t, 50*time.Millisecond, lease+lookAgain+blinkLatency)
		f.wantRequests(t, 3)
		f.serve(t, 50*time.Millisecond, lookAgain)
		if f.wantSame(t, 0) == first {
			t.Error("the old token is still in use")
		}
		f.wantRequests(t, 3)
	})
	inBubble(t, "whoever waits for its token waits for the lease", func(t *testing.T) {
		f := newFleet(t, 5)
		start(t, f)
		f.Script(sandbox.Blink, sandbox.Token, hang)
		dead := f.members[0]
		go ask(t.Context(), dead)
		synctest.Wait()
		f.members = f.members[1:]
		time.AfterFunc(5*time.Second, dead.store.Crash)
		f.wantSame(t, 5*time.Second+lease+lookAgain+blinkLatency+lookAgain)
		f.wantRequests(t, 2)
		dead.Close()
	})
	inBubble(t, "a provider that fails the holder fails all, once", func(t *testing.T) {
		f := newFleet(t, 5)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
		failed, tokens := 0, map[string]bool{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, m := range f.members {
			wg.Go(func() {
				a := ask(t.Context(), m)
				mu.Lock()
				defer mu.Unlock()
				if a.err != nil {
					failed++
				} else {
					tokens[a.access] = true
				}
			})
		}
		wg.Wait()
		if failed != 5 {
			t.Errorf("%d processes failed and the others have %d tokens; want 5", failed, len(tokens))
		}
		f.wantRequests(t, 1)
		time.Sleep(2 * time.Second)
		f.wantSame(t, blinkLatency+2*lookAgain)
		f.wantRequests(t, 2)
	})
}

// Whoever lost its lease may be late: another process's token must not be
// replaced by an older one.
func TestNothingIsSavedAfterTheLeaseWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 2 * time.Second})
		late, heir := f.members[0], f.members[1]
		late.store.Before = func(_ context.Context, method, _ string) error {
			if method == "Save" {
				t.Error("it tried to save its token after it had lost the lease")
			}
			return nil
		}
		lateHas := make(chan answer, 1)
		go func() { lateHas <- ask(t.Context(), late) }()
		time.Sleep(time.Second)
		f.store.Flush()
		heirHas := make(chan answer, 1)
		go func() { heirHas <- ask(t.Context(), heir) }()

		own := <-lateHas
		if own.err != nil || own.waited != 2*time.Second {
			t.Fatalf("%+v, want its own token as without a store", own)
		}
		synctest.Wait()
		if n := len(f.store.Entries()); n > 0 {
			t.Fatal("there is a token already")
		}
		theirs := <-heirHas
		if theirs.err != nil || theirs.access == own.access {
			t.Fatalf("%+v, want a token of the new holder's own", theirs)
		}
		synctest.Wait()
		wantToken(t, f.join(t), theirs.access)
		f.wantRequests(t, 2)
	})
}

// A holder that lost its lease took the lock again as soon as it was free, to save
// a token that may be older than another process's: versions tell that apart only
// if the clocks agree.
func TestHolderThatLostItsLeaseSavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 2 * time.Second})
		time.AfterFunc(time.Second, f.store.Flush)
		m := f.members[0]
		if a := ask(t.Context(), m); a.err != nil || a.waited != 2*time.Second {
			t.Fatalf("%+v, want its own token as without a store", a)
		}
		synctest.Wait()
		if n := len(f.store.Entries()); n > 0 {
			t.Error("the token was saved")
		}
		if n := m.count(tokensource.EventStoreFailed); n != 1 {
			t.Errorf("%d events tell of that, want 1", n)
		}
	})
}

func TestOnTokenSeesLoadedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		access := f.wantSame(t, blinkLatency)
		var told []string
		fail := errors.New("the disk is full")
		m := f.join(t)
		m.OnToken = func(_ context.Context, tok *oauth2.Token) error {
			told = append(told, tok.AccessToken)
			return fail
		}
		if a := ask(t.Context(), m); !errors.Is(a.err, fail) {
			t.Fatalf("%+v, want OnToken's error", a)
		}
		time.Sleep(2 * time.Second)
		fail = nil
		wantToken(t, m, access)
		if !slices.Equal(told, []string{access, access}) {
			t.Errorf("OnToken was told %q", told)
		}
		f.wantRequests(t, 1)
	})
}

func TestCloseUnlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 10 * time.Second})
		closed := make(chan answer, 1)
		go func() { closed <- ask(t.Context(), f.members[0]) }()
		time.Sleep(time.Second)
		f.members[0].Close()
		if a := <-closed; !errors.Is(a.err, tokensource.ErrClosed) || a.waited != time.Second {
			t.Errorf("%+v, want ErrClosed after 1s", a)
		}
		if a := ask(t.Context(), f.members[1]); a.err != nil || a.waited > lookAgain+blinkLatency {
			t.Errorf("%+v, want a token without waiting for the lease of a process that was closed", a)
		}
	})
}

// A process that was closed in the middle of its request told the others, now and
// then, that the provider fails.
func TestCloseIsNoFailureForTheOthers(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			store := &storetest.Memory{}
			var closed *tokensource.Cache
			closed = &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), Source: tokensource.TokenFunc(func(ctx context.Context) (*oauth2.Token, error) {
				go closed.Close()
				<-ctx.Done()
				return nil, ctx.Err()
			})}
			if a := ask(t.Context(), closed); !errors.Is(a.err, tokensource.ErrClosed) {
				t.Fatalf("got %q, %v", a.access, a.err)
			}
			closed.Close()
			other := &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), Source: &scriptedSource{lifetime: time.Hour}}
			defer other.Close()
			wantToken(t, other, "token-1")
		})
	}
}

// A token that the API rejected, in a fleet that shares it.

func TestInvalidateInAFleet(t *testing.T) {
	reject := func(m *member, access string) { m.Invalidate(&oauth2.Token{AccessToken: access}) }
	inBubble(t, "all reject one token: one request", func(t *testing.T) {
		f := newFleet(t, 20)
		first := f.wantSame(t, blinkLatency+lookAgain)
		f.Revoke(sandbox.Blink)
		for _, m := range f.members {
			reject(m, first)
		}
		if f.wantSame(t, blinkLatency+lookAgain) == first {
			t.Error("the rejected token is still in use")
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "a newer one in the store is used without a request, and stays there", func(t *testing.T) {
		f := newFleet(t, 5)
		first := f.wantSame(t, blinkLatency+lookAgain)
		reject(f.members[0], first)
		next := ask(t.Context(), f.members[0])
		_, saved := f.entry(t)
		for _, m := range f.members[1:] {
			time.Sleep(time.Minute)
			reject(m, first)
			wantToken(t, m, next.access)
		}
		if _, value := f.entry(t); string(value) != string(saved) {
			t.Error("the newer token was replaced in the store")
		}
		f.wantRequests(t, 2)
	})
	inBubble(t, "the rejected one leaves the store even if there is no other", func(t *testing.T) {
		f := newFleet(t, 2)
		first := f.wantSame(t, blinkLatency+lookAgain)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
		reject(f.members[0], first)
		if a := ask(t.Context(), f.members[0]); a.err == nil {
			t.Fatalf("%+v, want the provider's refusal", a)
		}
		for key := range f.store.Entries() {
			if strings.HasSuffix(key, "-token") {
				t.Error("the rejected token is still in the store")
			}
		}
		wantToken(t, f.members[1], first) // which nobody has rejected there
		if a := ask(t.Context(), f.join(t)); a.err == nil {
			t.Errorf("a new process got %q, which another one saw rejected", a.access)
		}
	})
	inBubble(t, "an older one in the store is no replacement", func(t *testing.T) {
		f := newFleet(t, 2)
		first := f.wantSame(t, blinkLatency+lookAgain)
		m := f.members[0]
		m.store.Before = func(context.Context, string, string) error { return errors.New("cut off") }
		time.Sleep(time.Minute)
		reject(m, first)
		second := ask(t.Context(), m)
		if second.err != nil {
			t.Fatal(second.err)
		}
		m.store.Before = nil
		time.Sleep(time.Minute)
		f.Revoke(sandbox.Blink)
		reject(m, second.access)
		if a := ask(t.Context(), m); a.err != nil || a.access == first {
			t.Errorf("%+v, want a token newer than the rejected one", a)
		}
	})
	inBubble(t, "during a look that finds the lock taken", func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		m.Synchronous = true
		m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, 100*time.Millisecond) }
		first := f.wantSame(t, blinkLatency+lease)
		time.Sleep(time.Second) // and it is saved
		unlock := f.takeLock(t)
		time.Sleep(28 * time.Minute)
		go ask(t.Context(), m)
		time.Sleep(150 * time.Millisecond)
		reject(m, first)
		time.AfterFunc(time.Second, unlock)
		if a := ask(t.Context(), m); a.err != nil || a.access == first {
			t.Errorf("%+v, want another token", a)
		}
	})
}

// What a process does when it is its turn, or is not: how long it waits, what it
// learns meanwhile, and what it leaves behind.

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

// A look at another's failure left the lock no time: no token was shared through a
// store whose calls take a third of a second, or of a quarter of the caller's time.
func TestSlowStoreStillShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 10)
		for _, m := range f.members {
			m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, 450*time.Millisecond) }
			if a := ask(t.Context(), m); a.err != nil {
				t.Error(a.err)
			}
			time.Sleep(2 * storeTimeout) // and it is saved
		}
		f.wantRequests(t, 1)
	})
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

// A source that never came back from a request kept the lock for its lease.
func TestLockIsGivenBackWithoutTheSource(t *testing.T) {
	for name, source := range map[string]func() (*oauth2.Token, error){
		"it panics":                 func() (*oauth2.Token, error) { panic("no such host") },
		"it hangs beyond its time":  func() (*oauth2.Token, error) { time.Sleep(time.Hour); return nil, errOutage },
		"the Cache is closed first": func() (*oauth2.Token, error) { time.Sleep(time.Hour); return nil, errOutage },
	} {
		inBubble(t, name, func(t *testing.T) {
			store := &storetest.Memory{}
			ill := &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), FetchTimeout: 10 * time.Second,
				Source: contextless{&scriptedSource{reply: func(int) (*oauth2.Token, error) { return source() }}}}
			given := make(chan answer, 1)
			go func() { given <- ask(t.Context(), ill) }()
			synctest.Wait()
			if name == "the Cache is closed first" {
				began := time.Now()
				ill.Close()
				wantBetween(t, "Close took", time.Since(began), 0, 0)
			}
			if a := <-given; a.err == nil {
				t.Fatalf("%+v, want an error", a)
			}
			time.Sleep(2 * storeTimeout) // a failure that was shared is over, too
			well := &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), Source: &scriptedSource{lifetime: time.Hour}}
			defer well.Close()
			wantToken(t, well, "token-1")
			time.Sleep(time.Hour)
		})
	}
}

// The processes that wait for a source that panics had the lock one after the
// other, each a second after the last.
func TestPanicGivesTheLockBackAtOnce(t *testing.T) {
	for name, source := range map[string]func(){
		"it panics":             func() { panic("no such host") },
		"it ends the goroutine": runtime.Goexit,
	} {
		inBubble(t, name, func(t *testing.T) {
			store := &storetest.Memory{}
			ill := &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), Source: tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
				source()
				return nil, errOutage
			})}
			if a := ask(t.Context(), ill); a.err == nil {
				t.Fatalf("%+v, want an error", a)
			}
			began := time.Now()
			ill.Close()
			wantBetween(t, "Close took", time.Since(began), 0, 0)
			well := &tokensource.Cache{Store: store.Handle(), StoreKey: []byte("key"), Source: &scriptedSource{lifetime: time.Hour}}
			defer well.Close()
			wantToken(t, well, "token-1")
		})
	}
}
