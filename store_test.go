package tokensource_test

// The refresh protocol: who asks, who waits, who takes over, with several Caches on
// one store, each standing for a process, in virtual time. Then stores that fail in
// every way: no caller may fail, or wait again once it has its first token; each
// process costs what it costs without a store, and the fleet converges again when the
// store works.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
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

const (
	blinkLatency = 200 * time.Millisecond // of the fleet's token requests
	lease        = 3 * time.Second        // of a storetest.Memory
	lookAgain    = 500 * time.Millisecond // between looks at the store, at most
)

// fleet is a number of processes, the Blink that they have in common, and their
// store.
type fleet struct {
	*sandbox.Sandbox
	store   *storetest.Memory
	members []*member
}

type member struct {
	*tokensource.Cache
	store  *storetest.Memory // its handle
	client *http.Client      // of the API; passes a 401 on

	mu     sync.Mutex
	events []tokensource.Event
}

func newFleet(t *testing.T, n int) *fleet {
	f := &fleet{Sandbox: sandbox.NewInProcess(sandbox.Config{}), store: &storetest.Memory{}}
	f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: blinkLatency})
	for range n {
		f.join(t)
	}
	return f
}

// join starts a process; it is to be configured before its first call.
func (f *fleet) join(t *testing.T) *member {
	m := &member{store: f.store.Handle()}
	m.Cache = &tokensource.Cache{
		Source: &tokensource.Blink{
			Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
			BaseURL:     f.URL,
			HTTPClient:  f.Client(),
		},
		Store: m.store,
		OnEvent: func(_ context.Context, e tokensource.Event) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.events = append(m.events, e)
		},
	}
	m.client = &http.Client{Transport: &tokensource.Transport{Source: m.Cache, Base: f, NoRetry: true}}
	t.Cleanup(func() { m.Close() })
	f.members = append(f.members, m)
	return m
}

// count returns how many events of a kind there were.
func (m *member) count(kind tokensource.EventKind) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (f *fleet) requests() int { return f.Ledger()[sandbox.Blink].TokenRequests }

func (f *fleet) wantRequests(t *testing.T, n int) {
	t.Helper()
	if got := f.requests(); got != n {
		t.Fatalf("%d token requests, want %d", got, n)
	}
}

// tokens asks all members at once and returns their tokens: access token → how
// many have it. Nobody may fail or wait longer than this.
func (f *fleet) tokens(t *testing.T, patience time.Duration) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	tokens := map[string]int{}
	for i, m := range f.members {
		wg.Go(func() {
			a := ask(t.Context(), m)
			if a.err != nil || a.waited > patience {
				t.Errorf("process %d: error %v after %v", i, a.err, a.waited)
			}
			mu.Lock()
			defer mu.Unlock()
			tokens[a.access]++
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return tokens
}

// wantSame fails the test unless all members have one token, after no longer
// than this. It returns the token.
func (f *fleet) wantSame(t *testing.T, patience time.Duration) string {
	t.Helper()
	tokens := slices.Collect(maps.Keys(f.tokens(t, patience)))
	if len(tokens) != 1 {
		t.Fatalf("%d processes have %d tokens, want 1", len(f.members), len(tokens))
	}
	return tokens[0]
}

// serve has all members call the API every so often for d. No call may wait or
// fail.
func (f *fleet) serve(t *testing.T, every, d time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	for i, m := range f.members {
		wg.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
				start := time.Now()
				resp, err := m.client.Get(f.APIURL(sandbox.Blink))
				if err != nil {
					t.Errorf("process %d: %v", i, err)
					return
				}
				resp.Body.Close()
				if waited := time.Since(start); resp.StatusCode != http.StatusOK || waited > 0 {
					t.Errorf("process %d: status %d after %v", i, resp.StatusCode, waited)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// entry returns the only entry of the store.
func (f *fleet) entry(t *testing.T) (key string, value []byte) {
	t.Helper()
	synctest.Wait() // a token is saved after its caller got it
	n := 0
	for k, v := range f.store.Entries() {
		if strings.HasSuffix(k, "-token") {
			key, value = k, v
			n++
		}
	}
	if n != 1 {
		t.Fatalf("the store has %d tokens, want 1", n)
	}
	return key, value
}

// takeLock has another process hold the refresh lock.
func (f *fleet) takeLock(t *testing.T) (unlock func()) {
	t.Helper()
	key, _ := f.entry(t)
	_, unlock, err := f.store.Handle().TryLock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

func TestFleetCostsOneRequestPerLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 20)
		f.wantSame(t, blinkLatency+lookAgain)
		f.wantRequests(t, 1)
		// A token of 30 minutes is renewed after 25 to 26.
		f.serve(t, time.Minute, 140*time.Minute)
		f.wantRequests(t, 1+5)
		if rejected := f.Ledger()[sandbox.Blink].Rejected; rejected > 0 {
			t.Errorf("the API rejected %d tokens", rejected)
		}
		fetched, loaded := 0, 0
		for _, m := range f.members {
			fetched += m.count(tokensource.EventFetched)
			loaded += m.count(tokensource.EventLoaded)
			if m.count(tokensource.EventFailed)+m.count(tokensource.EventStoreFailed) > 0 {
				t.Errorf("events tell of failures: %v", m.events)
			}
		}
		if fetched != 1+5 || loaded != (1+5)*(len(f.members)-1) {
			t.Errorf("events tell of %d fetched and %d loaded tokens", fetched, loaded)
		}
	})
}

// A fleet must not march in step because it shares a token.
func TestEachProcessDrawsTheWindowOfALoadedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 20)
		start := time.Now()
		f.wantSame(t, blinkLatency+lookAgain)
		windows := map[time.Time]bool{}
		for _, m := range f.members {
			w := tokensource.WindowOpens(m.Cache)
			windows[w] = true
			wantBetween(t, "the window opens after", w.Sub(start), 25*time.Minute, 26*time.Minute)
		}
		if len(windows) < len(f.members) {
			t.Errorf("%d processes have %d windows", len(f.members), len(windows))
		}
	})
}

func TestLegacyBlinkInAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		for _, m := range f.members {
			m.Source.(*tokensource.Blink).Legacy = true
		}
		f.wantSame(t, blinkLatency+lookAgain)
		before, _ := f.members[0].Token()
		want, ok := tokensource.BlinkDetailsOf(before)
		if !ok || len(want.PaymentTypes) == 0 {
			t.Fatalf("the first token says %+v", want)
		}
		for range 5 {
			for range 30 * 6 {
				time.Sleep(10 * time.Second)
				f.tokens(t, 0)
			}
		}
		f.wantSame(t, 0)
		ledger := f.Ledger()[sandbox.BlinkLegacy]
		if ledger.TokenRequests != 1+ledger.Refreshes || ledger.Refreshes != 5 {
			t.Errorf("%d requests, of those %d refreshes; want 6 and 5", ledger.TokenRequests, ledger.Refreshes)
		}
		for _, m := range f.members {
			tok, err := m.Token()
			if got, _ := tokensource.BlinkDetailsOf(tok); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("after five refreshes: %+v, %v; want %+v", got, err, want)
			}
		}
	})
}

// A provider that is down: what the store changes is that the processes do not
// ask it side by side.
func TestOutageInAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 10)
		f.wantSame(t, blinkLatency+lookAgain)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusServiceUnavailable})
		f.serve(t, 10*time.Second, 29*time.Minute) // callers do not notice
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: blinkLatency})
		f.serve(t, time.Second, 40*time.Second)
		issued := f.Ledger()[sandbox.Blink].TokensIssued
		if issued != 2 {
			t.Errorf("%d tokens issued, want the first and one after the outage", issued)
		}
		f.wantSame(t, 0)
	})
}

// skewed is a store whose clock is its own: entries live by that, whatever the
// processes' clocks say. (Within a bubble all clocks agree, so the skew of a
// process is what its source adds to the expiries that it works out.)
func TestNoClockReachesAnotherProcess(t *testing.T) {
	for _, skew := range []time.Duration{2 * time.Hour, 5 * time.Second, -2 * time.Hour} {
		inBubble(t, skew.String(), func(t *testing.T) {
			f := newFleet(t, 6)
			f.SetClockOffset(skew) // the provider's, which is the same to the processes
			f.wantSame(t, blinkLatency+lookAgain)
			f.serve(t, 10*time.Second, 100*time.Minute)
			if rejected := f.Ledger()[sandbox.Blink].Rejected; rejected > 0 {
				t.Errorf("the API rejected %d tokens", rejected)
			}
			f.wantRequests(t, 4)
		})
	}
}

// A process that was refused once failed its callers for minutes, although
// another one had saved a good token.
func TestHeldProcessTakesAnothersToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		refused := f.members[0]
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"300"}}})
		if a := ask(t.Context(), refused); a.err == nil {
			t.Fatal("the provider did not refuse")
		}
		synctest.Wait() // saved after its caller got it
		f.store.Flush() // the failure that it shares, too
		other := f.join(t)
		a := ask(t.Context(), other)
		if a.err != nil {
			t.Fatal(a.err)
		}
		synctest.Wait()
		looks := 0
		refused.store.Before = func(_ context.Context, method, _ string) error {
			if method == "Load" {
				looks++
			}
			return nil
		}
		time.Sleep(time.Second)
		wantToken(t, refused, a.access)
		if looks != 1 {
			t.Errorf("%d looks", looks)
		}
		f.wantRequests(t, 2)
	})
}

// The expiry of a rejected token was a floor: a revoked token that outlived its
// successors ended sharing.
func TestRejectedTokenThatOutlivesItsSuccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		f.SetTokenLifetime(24 * time.Hour)
		f.wantSame(t, blinkLatency+lookAgain)
		synctest.Wait()
		f.SetTokenLifetime(10 * time.Minute)
		f.Revoke(sandbox.Blink)
		for _, m := range f.members {
			tok, err := m.Token()
			if err != nil {
				t.Fatal(err)
			}
			m.Invalidate(tok)
			if _, err := m.Token(); err != nil {
				t.Fatal(err)
			}
		}
		before := f.requests()
		f.serve(t, 10*time.Second, 81*time.Minute)
		if n := f.requests() - before; n > 11 {
			t.Errorf("%d requests in 10 rollovers", n)
		}
	})
}

// A provider slower than half of FetchTimeout: 20 processes sent 20 requests,
// and 19 failed with a valid token in the store.
func TestSlowProviderAndAColdFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 20)
		for _, m := range f.members {
			m.Source.(*tokensource.Blink).HTTPClient = &http.Client{Transport: f, Timeout: time.Minute}
		}
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 20 * time.Second})
		f.wantSame(t, 20*time.Second+lookAgain)
		f.wantRequests(t, 1)
	})
}

// 40 processes with bad credentials learned it after up to 15.7 s, and one with
// a deadline got that instead of ErrCredentials.
func TestFleetLearnsOfBadCredentialsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 40)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusUnauthorized, Delay: blinkLatency})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i, m := range f.members {
			wg.Go(func() {
				a := ask(ctx, m)
				if !errors.Is(a.err, tokensource.ErrCredentials) || asError(t, a.err).Status != 401 || a.waited > 3*lookAgain {
					t.Errorf("process %d: %v after %v", i, a.err, a.waited)
				}
			})
		}
		wg.Wait()
		f.wantRequests(t, 1)
	})
}

// A fleet asks an ailing endpoint as often as one process does.
func TestOutageOfAColdFleet(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"500":         {Status: 500, Delay: blinkLatency},
		"401":         {Status: 401, Delay: blinkLatency},
		"429":         {Status: 429, Delay: blinkLatency},
		"Retry-After": {Status: 429, Delay: blinkLatency, Header: http.Header{"Retry-After": {"20"}}},
		"it hangs":    {Delay: time.Hour},
	} {
		requests := map[int]int{}
		for _, n := range []int{1, 50} {
			inBubble(t, fmt.Sprintf("%s, %d processes", name, n), func(t *testing.T) {
				f := newFleet(t, n)
				f.Always(sandbox.Blink, sandbox.Token, fault)
				var wg sync.WaitGroup
				for _, m := range f.members {
					wg.Go(func() {
						for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
							ask(t.Context(), m)
						}
					})
				}
				wg.Wait()
				requests[n] = f.requests()
				f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: blinkLatency})
				back := time.Now()
				for _, m := range f.members {
					wg.Go(func() {
						for ask(t.Context(), m).err != nil {
							time.Sleep(100 * time.Millisecond)
						}
						if waited := time.Since(back); waited > 6*time.Second && name != "Retry-After" && name != "it hangs" {
							t.Errorf("the token was back after %v", waited)
						}
					})
				}
				wg.Wait()
			})
		}
		if requests[50]*10 > requests[1]*12+10 {
			t.Errorf("%s: 50 processes sent %d requests, one %d", name, requests[50], requests[1])
		}
	}
}

// Processes that all have a valid token held their refreshes each for itself: 30 of
// them asked six times as often as one.
func TestOutageOfAFleetWithATokenInUse(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"500":         {Status: 500, Delay: blinkLatency},
		"401":         {Status: 401, Delay: blinkLatency},
		"Retry-After": {Status: 429, Delay: blinkLatency, Header: http.Header{"Retry-After": {"60"}}},
		"it hangs":    {Delay: time.Hour},
	} {
		requests := map[int]int{}
		for _, n := range []int{1, 30} {
			inBubble(t, fmt.Sprintf("%s, %d processes", name, n), func(t *testing.T) {
				f := newFleet(t, n)
				f.wantSame(t, blinkLatency+lookAgain)
				f.Always(sandbox.Blink, sandbox.Token, fault)
				f.serve(t, time.Second, 29*time.Minute)
				requests[n] = f.requests() - 1
			})
		}
		if requests[30]*2 > requests[1]*3 { // the first of 30 windows opens sooner
			t.Errorf("%s: 30 processes sent %d requests, one %d", name, requests[30], requests[1])
		}
	}
}

// A token that is rejected during an outage may be of no use: its fleet asks as often
// as one without a token, and is back as soon.
func TestTokenRejectedDuringAnOutageOfAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		f.wantSame(t, blinkLatency+lookAgain)
		f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
		f.serve(t, time.Second, 27*time.Minute)
		f.Revoke(sandbox.Blink)
		over := time.Now().Add(10 * time.Second)
		time.AfterFunc(10*time.Second, func() { f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: blinkLatency}) })
		var wg sync.WaitGroup
		for i, m := range f.members {
			wg.Go(func() {
				for {
					resp, err := m.client.Get(f.APIURL(sandbox.Blink))
					if err != nil {
						t.Errorf("process %d: %v", i, err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				wantBetween(t, "the process is back after", time.Since(over), 0, 7*time.Second)
			})
		}
		wg.Wait()
	})
}

// A process that cannot reach the provider must not keep those that can from
// refreshing their token.
func TestIllProcessLeavesTheRefreshToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		ill := f.members[0]
		ill.EarlyRefresh = 15 * time.Minute
		var cut atomic.Bool
		network := httpmock.NewMockTransport()
		network.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
			if cut.Load() {
				return nil, errors.New("no route to host")
			}
			return f.RoundTrip(r)
		})
		ill.Source.(*tokensource.Blink).HTTPClient = &http.Client{Transport: network}
		f.wantSame(t, blinkLatency+lookAgain)
		cut.Store(true)
		for range 3 {
			f.serve(t, time.Second, 28*time.Minute)
		}
		f.wantRequests(t, 1+3)
	})
}

// A Retry-After that another process got began anew with each process that learned
// of it.
func TestSharedRetryAfterDoesNotBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		user := f.members[0]
		f.wantSame(t, blinkLatency)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"100"}}})
		time.Sleep(time.Until(user.Status().NextRefresh) - 90*time.Second)
		f.store.Flush()
		if a := ask(t.Context(), f.join(t)); asError(t, a.err).RetryAfter != 100*time.Second {
			t.Fatalf("%+v, want the provider's refusal", a)
		}
		time.Sleep(95 * time.Second) // user's window has opened
		if a := ask(t.Context(), f.join(t)); asError(t, a.err).RetryAfter > 5*time.Second {
			t.Errorf("5s before its end: %v", a.err)
		}
		f.wantRequests(t, 2)
		time.Sleep(7 * time.Second)
		f.wantRequests(t, 3)
		f.members = f.members[:1]
		f.serve(t, time.Second, time.Second)
	})
}

// Close in mid-refresh left the lock for its lease, and callers waited for Save
// and unlock.
func TestCallersDoNotWaitForSaveAndUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		m := f.members[0]
		m.store.Before = func(ctx context.Context, method, _ string) error {
			if method == "Save" || method == "unlock" {
				return pause(ctx, 300*time.Millisecond)
			}
			return nil
		}
		if a := ask(t.Context(), m); a.err != nil || a.waited != blinkLatency {
			t.Fatalf("%+v", a)
		}
		start := time.Now()
		m.Close() // waits for both
		wantBetween(t, "Close took", time.Since(start), 300*time.Millisecond, 2*time.Second)
		if n := len(f.store.Entries()); n != 1 {
			t.Errorf("%d entries after Close", n)
		}
		if a := ask(t.Context(), f.join(t)); a.err != nil || a.waited != 0 {
			t.Errorf("%+v, want the token that was saved", a)
		}
	})
}

// A store that fails: each process asks for itself, but not all at once.
func TestRefreshesSpreadWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 20)
		var down atomic.Bool
		for _, m := range f.members {
			m.store.Before = func(context.Context, string, string) error {
				if down.Load() {
					return errors.New("READONLY")
				}
				return nil
			}
		}
		f.wantSame(t, blinkLatency+lookAgain)
		synctest.Wait()
		down.Store(true)
		f.serve(t, time.Second, 24*time.Minute)
		var first, last time.Time
		for range 6 * 60 {
			before := f.requests()
			f.serve(t, time.Second, time.Second)
			if f.requests() > before {
				if last = time.Now(); first.IsZero() {
					first = last
				}
			}
		}
		f.wantRequests(t, 1+20)
		if spread := last.Sub(first); spread < 2*time.Minute {
			t.Errorf("20 processes refreshed within %v", spread)
		}
	})
}

// A store that tells far too much must not keep a failure for longer than any
// Retry-After counts.
func TestSharedFailureEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
		if a := ask(t.Context(), f.members[0]); a.err == nil {
			t.Fatal("the provider did not refuse")
		}
		m := f.members[1]
		m.Store = toldLeft{m.Store, 24 * time.Hour}
		if a := ask(t.Context(), m); a.err == nil {
			t.Fatal("the failure is not shared")
		}
		wantBetween(t, "the hold lasts", time.Until(m.Status().HeldUntil), 0, 5*time.Minute)
	})
}

// The time of an entry that the store tells counts, never more than the lifetime
// that its writer sealed.
func TestStoreTimeCounts(t *testing.T) {
	for name, tt := range map[string]struct{ told, want time.Duration }{
		"the entry lapses soon":           {5 * time.Minute, 5*time.Minute + 10*time.Second},
		"a store that tells far too much": {24 * time.Hour, 30 * time.Minute},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 2)
			access := ask(t.Context(), f.members[0]).access
			time.Sleep(time.Second)
			f.members[1].Store = toldLeft{f.members[1].Store, tt.told}
			tok, err := f.members[1].Token()
			if err != nil || tok.AccessToken != access {
				t.Fatalf("got %v, %v, want the shared token", tok, err)
			}
			wantBetween(t, "the expiry is in", time.Until(tok.Expiry), tt.want-time.Second, tt.want)
		})
	}
}

// The token is back soon after the endpoint, in every process.
func TestFleetIsBackAfterAnOutage(t *testing.T) {
	for name, tt := range map[string]struct{ outage, back time.Duration }{
		"of 20 s":      {20 * time.Second, 2200 * time.Millisecond},
		"of 2 minutes": {2 * time.Minute, 5200 * time.Millisecond},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 50)
			f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 503})
			over := time.Now().Add(tt.outage)
			time.AfterFunc(tt.outage, func() { f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{}) })
			var worst atomic.Int64
			var wg sync.WaitGroup
			for _, m := range f.members {
				wg.Go(func() {
					for ask(t.Context(), m).err != nil {
						time.Sleep(20 * time.Millisecond)
					}
					for took := int64(time.Since(over)); ; {
						if w := worst.Load(); took <= w || worst.CompareAndSwap(w, took) {
							return
						}
					}
				})
			}
			wg.Wait()
			t.Logf("the last process is back after %v", time.Duration(worst.Load()))
			wantBetween(t, "the last process is back after", time.Duration(worst.Load()), 0, tt.back+lookAgain)
		})
	}
}

// A source without a context answers after FetchTimeout: its token is shared.
func TestOverdueTokenIsSaved(t *testing.T) {
	inBubble(t, "for the next process", func(t *testing.T) {
		f := newFleet(t, 0)
		src := &scriptedSource{latency: 12 * time.Second, lifetime: time.Hour}
		share := func() *tokensource.Cache {
			return &tokensource.Cache{Source: contextless{src}, Store: f.store.Handle(), StoreKey: []byte("key"), FetchTimeout: 10 * time.Second}
		}
		if a := ask(t.Context(), share()); a.err == nil || a.waited != 10*time.Second {
			t.Fatalf("%+v, want a failure at FetchTimeout", a)
		}
		time.Sleep(5 * time.Second)
		wantToken(t, share(), "token-1")
		wantCalls(t, src, 1)
	})
}

func TestStoreFlushedAllTheTime(t *testing.T) {
	inBubble(t, "every 200 ms", func(t *testing.T) {
		f := newFleet(t, 5)
		go func() {
			for pause(t.Context(), 200*time.Millisecond) == nil {
				f.store.Flush()
			}
		}()
		f.tokens(t, 5*time.Second)
		f.serve(t, 10*time.Second, 2*time.Hour)
		if rejected := f.Ledger()[sandbox.Blink].Rejected; rejected > 0 {
			t.Errorf("the API rejected %d tokens", rejected)
		}
	})
}

// toldLeft is a store that tells a time to live of its own.
type toldLeft struct {
	tokensource.Store
	left time.Duration
}

func (s toldLeft) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, _, err := s.Store.Load(ctx, key)
	return value, s.left, err
}

// A fleet to which anything may happen, in any order.

// In half an hour of random faults of the provider, the store and the processes, a
// call may fail only while the provider is at fault or soon after. Then there is
// peace: the fleet costs what one process does.
func TestFleetWalksAtRandom(t *testing.T) {
	for seed := range uint64(6) {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { fleetWalk(t, rand.New(rand.NewPCG(seed, 33))) })
	}
}

const soonAgain = 8 * time.Second // outage holds of 5 s, and a slow request

func fleetWalk(t *testing.T, random *rand.Rand) {
	f := newFleet(t, 5)
	f.SetTokenLifetime(4 * time.Minute)
	var ill atomic.Int64 // until when calls may fail, in Unix nanoseconds
	mayFail := func(d time.Duration) {
		if until := time.Now().Add(d).UnixNano(); until > ill.Load() {
			ill.Store(until)
		}
	}
	var hang, fail atomic.Bool
	var delay atomic.Int64
	before := func(ctx context.Context, _, _ string) error {
		switch {
		case hang.Load():
			return pause(ctx, time.Hour)
		case fail.Load():
			return errors.New("READONLY")
		}
		return pause(ctx, time.Duration(delay.Load()))
	}
	for _, m := range f.members {
		m.store.Before = before
	}
	var mu sync.Mutex // guards f.members
	at := func(i int) *member {
		mu.Lock()
		defer mu.Unlock()
		return f.members[i]
	}
	var history []string
	peace := make(chan struct{})
	var callers sync.WaitGroup
	for i := range f.members {
		callers.Go(func() {
			for {
				select {
				case <-peace:
					return
				case <-time.After(2 * time.Second):
				}
				began := time.Now()
				a := ask(t.Context(), at(i))
				if errors.Is(a.err, tokensource.ErrClosed) {
					continue
				}
				if now := time.Now().UnixNano(); (a.err != nil || a.waited > soonAgain) && now > ill.Load() && began.UnixNano() > ill.Load() {
					mu.Lock()
					t.Errorf("process %d, asked at %v: %v after %v; before that: %q", i, began, a.err, a.waited, history[max(0, len(history)-6):])
					mu.Unlock()
				}
			}
		})
	}
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		history = append(history, time.Now().Format("15:04:05 ")+what)
	}
	for end := time.Now().Add(30 * time.Minute); time.Now().Before(end) && !t.Failed(); {
		d := time.Duration(1+random.IntN(60)) * time.Second
		switch random.IntN(9) {
		case 0, 1:
			fault := []sandbox.Fault{
				{Status: 503}, {Status: 401}, {Status: 429, Header: http.Header{"Retry-After": {"7"}}}, {Break: true}, {Delay: time.Hour},
			}[random.IntN(5)]
			note(fmt.Sprintf("provider %+v for %v", fault, d))
			f.Always(sandbox.Blink, sandbox.Token, fault)
			more := soonAgain + 7*time.Second
			if fault.Delay > 0 {
				more += fetchTimeout
			}
			mayFail(d + more)
			time.Sleep(d)
			f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: blinkLatency})
		case 2:
			note(fmt.Sprint("store fails for ", d))
			fail.Store(true)
			time.Sleep(d)
			fail.Store(false)
		case 3:
			note(fmt.Sprint("store hangs for ", d))
			hang.Store(true)
			time.Sleep(d)
			hang.Store(false)
		case 4:
			note(fmt.Sprint("store is slow for ", d))
			delay.Store(int64(time.Duration(random.IntN(900)) * time.Millisecond))
			time.Sleep(d)
			delay.Store(0)
		case 5:
			note("flush")
			f.store.Flush()
		case 6:
			i := random.IntN(len(f.members))
			old := at(i)
			note(fmt.Sprint("restart ", i))
			if random.IntN(2) == 0 {
				old.store.Crash()
			}
			old.Close()
			mu.Lock()
			m := f.join(t)
			m.store.Before = before
			f.members = f.members[:len(f.members)-1]
			f.members[i] = m
			mu.Unlock()
		case 7:
			note("revoke")
			f.Revoke(sandbox.Blink)
			for i := range f.members {
				if s := at(i).Status(); s.Valid {
					if tok, err := at(i).Token(); err == nil {
						at(i).Invalidate(&oauth2.Token{AccessToken: tok.AccessToken})
					}
				}
			}
		case 8:
			note(fmt.Sprint("peace for ", d))
			time.Sleep(d)
		}
	}
	time.Sleep(6 * time.Minute)
	close(peace)
	callers.Wait()
	synctest.Wait()
	n := f.requests()
	f.serve(t, 5*time.Second, 20*time.Minute) // a token is renewed after 3:12 to 3:22
	if n = f.requests() - n; n > 7 {
		t.Errorf("%d token requests in 6 rollovers", n)
	}
}

const (
	storeTimeout = time.Second      // of one call of the Store
	fetchTimeout = 30 * time.Second // of a refresh, half of it for other processes
)

// faultyStore is a handle whose answers go wrong while broken is set.
type faultyStore struct {
	*storetest.Memory
	broken *atomic.Bool
	storeFault
}

// storeFault is what goes wrong, where it is set.
type storeFault struct {
	call  func(ctx context.Context, method string) error
	value func(key string, v []byte, err error) ([]byte, error) // of Load
	save  func() bool                                           // whether it does
	lock  func(held context.Context, unlock func(), err error) (context.Context, func(), error)
}

func newFaultyStore(m *storetest.Memory, broken *atomic.Bool, fault storeFault) *faultyStore {
	if fault.call != nil {
		m.Before = func(ctx context.Context, method, _ string) error {
			if broken.Load() {
				return fault.call(ctx, method)
			}
			return nil
		}
	}
	return &faultyStore{m, broken, fault}
}

func (s *faultyStore) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, left, err := s.Memory.Load(ctx, key)
	if s.value != nil && s.broken.Load() {
		v, err = s.value(key, v, err)
	}
	return v, left, err
}

func (s *faultyStore) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.save != nil && s.broken.Load() && !s.save() {
		return nil
	}
	return s.Memory.Save(ctx, key, value, ttl)
}

func (s *faultyStore) TryLock(ctx context.Context, key string) (context.Context, func(), error) {
	held, unlock, err := s.Memory.TryLock(ctx, key)
	if s.lock != nil && s.broken.Load() {
		return s.lock(held, unlock, err)
	}
	return held, unlock, err
}

// storeFaults returns each fault by its name.
func storeFaults() map[string]storeFault {
	faults := map[string]storeFault{}
	for what, fail := range map[string]func(context.Context) error{
		"fails":                         func(context.Context) error { return errors.New("connection refused") },
		"hangs until its context ends":  func(ctx context.Context) error { return pause(ctx, time.Hour) },
		"takes 5 s, whatever happens":   func(context.Context) error { time.Sleep(5 * time.Second); return nil },
		"takes most of a second":        func(context.Context) error { time.Sleep(storeTimeout - blinkLatency); return nil },
		"panics":                        func(context.Context) error { panic("no such host") },
		"ends the goroutine":            func(context.Context) error { runtime.Goexit(); return nil },
		"says that nothing is there":    func(context.Context) error { return tokensource.ErrNotFound },
		"says that its context is over": func(context.Context) error { return context.Canceled },
	} {
		faults["every call "+what] = storeFault{call: func(ctx context.Context, _ string) error { return fail(ctx) }}
		for _, only := range []string{"Load", "TryLock", "Save", "unlock"} {
			faults[only+" "+what] = storeFault{call: func(ctx context.Context, method string) error {
				if method == only {
					return fail(ctx)
				}
				return nil
			}}
		}
	}
	for what, garbage := range map[string][]byte{
		"nothing":         nil,
		"a byte":          {1},
		"zeros":           make([]byte, 500),
		"text":            []byte(`{"Token":{"access_token":"forged"},"Asked":"2026-01-01T00:00:00Z"}`),
		"a page":          []byte("<html>502 Bad Gateway</html>"),
		"the sealed size": append([]byte{1}, bytes.Repeat([]byte("x"), 400)...),
		"a megabyte":      bytes.Repeat([]byte{1}, 1<<20),
	} {
		faults["every entry is "+what] = storeFault{value: func(string, []byte, error) ([]byte, error) { return garbage, nil }}
	}
	change := func(how func(v []byte) []byte) storeFault {
		return storeFault{value: func(_ string, v []byte, err error) ([]byte, error) {
			if err == nil {
				v = how(v)
			}
			return v, err
		}}
	}
	faults["entries of another version"] = change(func(v []byte) []byte { v[0]++; return v })
	faults["entries with a flipped bit"] = change(func(v []byte) []byte { v[len(v)/2] ^= 1; return v })
	faults["entries cut off"] = change(func(v []byte) []byte { return v[:len(v)-1] })
	faults["nothing is kept"] = storeFault{save: func() bool { return false }}
	var oldest atomic.Pointer[[]byte]
	faults["the first entry for ever"] = change(func(v []byte) []byte {
		oldest.CompareAndSwap(nil, &v)
		return bytes.Clone(*oldest.Load())
	})
	faults["a lease that is over at once"] = storeFault{lock: func(held context.Context, unlock func(), err error) (context.Context, func(), error) {
		if err == nil {
			unlock()
		}
		return held, unlock, err
	}}
	faults["neither a lock nor an error"] = storeFault{lock: func(context.Context, func(), error) (context.Context, func(), error) {
		return nil, nil, nil
	}}
	faults["everybody has the lock"] = storeFault{lock: func(held context.Context, unlock func(), err error) (context.Context, func(), error) {
		if err != nil {
			held, unlock = context.WithCancel(context.Background())
			err = nil
		}
		return held, unlock, err
	}}
	return faults
}

func TestBrokenStore(t *testing.T) {
	const processes = 5
	for name, fault := range storeFaults() {
		inBubble(t, name, func(t *testing.T) {
			defer time.Sleep(time.Minute) // for calls that hang
			f := newFleet(t, processes)
			var broken atomic.Bool
			broken.Store(true)
			for _, m := range f.members {
				m.Store = newFaultyStore(m.store, &broken, fault)
			}
			f.tokens(t, fetchTimeout/2+3*storeTimeout)
			if f.requests() > processes {
				t.Errorf("%d token requests at the start", f.requests())
			}
			for lifetimes := 2; lifetimes <= 3; lifetimes++ {
				f.serve(t, 3*time.Minute, 27*time.Minute)
				if f.requests() > lifetimes*processes {
					t.Errorf("%d token requests in %d lifetimes", f.requests(), lifetimes)
				}
			}
			loud := strings.Contains(name, "fails") || strings.Contains(name, "panics") || strings.Contains(name, "5 s")
			for _, m := range f.members {
				if m.count(tokensource.EventFailed) > 0 {
					t.Error("the events blame the provider")
				}
				if told := fmt.Sprintf("%+v", m.events); strings.Contains(told, sandbox.Secret) || strings.Contains(told, "sandbox-token") {
					t.Error("the events tell a secret")
				}
				if silent := strings.HasPrefix(name, "unlock"); loud && !silent && m.count(tokensource.EventStoreFailed)+m.count(tokensource.EventLoaded) == 0 {
					t.Error("no event tells of the store")
				}
			}

			broken.Store(false)
			f.serve(t, 3*time.Minute, 60*time.Minute)
			before := f.requests()
			f.serve(t, 3*time.Minute, 100*time.Minute)
			if more := f.requests() - before; more > 4 {
				t.Errorf("%d token requests in four lifetimes with a store that works again", more)
			}
		})
	}
}

// Where the lock works and nothing is kept, the processes queue for the lock:
// not for longer than leaves them time to ask for themselves.
func TestLargeFleetWithAStoreThatKeepsNothing(t *testing.T) {
	faults := storeFaults()
	for _, name := range []string{"Save takes 5 s, whatever happens", "nothing is kept", "every entry is text"} {
		inBubble(t, name, func(t *testing.T) {
			defer time.Sleep(time.Minute)
			f := newFleet(t, 10)
			var broken atomic.Bool
			broken.Store(true)
			for _, m := range f.members {
				m.Store = newFaultyStore(m.store, &broken, faults[name])
			}
			f.tokens(t, fetchTimeout/2+2*storeTimeout)
			if f.requests() > 50 {
				t.Errorf("%d token requests of 50 processes", f.requests())
			}
		})
	}
}

// A store that does not answer at all holds up the first callers only, and for
// a second.
func TestHungStoreCostsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		for _, m := range f.members {
			m.store.Before = func(ctx context.Context, _, _ string) error { return pause(ctx, time.Hour) }
		}
		f.tokens(t, storeTimeout+blinkLatency)
		f.wantRequests(t, 5)
		f.serve(t, 10*time.Second, time.Hour)
	})
}

// A lock that nobody will ever release.
func TestStuckLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.wantSame(t, blinkLatency)
		f.takeLock(t)
		f.members[0].Close()
		f.members = nil
		f.store.Before = nil
		key, value := f.entry(t)
		if err := f.store.Delete(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			f.join(t)
		}
		// No refresh takes longer than FetchTimeout: until then, the holder may
		// be at it.
		var callers sync.WaitGroup
		for _, m := range f.members {
			callers.Go(func() {
				a := ask(t.Context(), m)
				if !errors.Is(a.err, tokensource.ErrLocked) || a.waited != fetchTimeout {
					t.Errorf("%+v, want ErrLocked after FetchTimeout", a)
				}
			})
		}
		callers.Wait()
		time.Sleep(2 * time.Second)
		f.wantSame(t, 3*lookAgain)
		f.wantRequests(t, 1+1)
		synctest.Wait()
		wantToken(t, f.join(t), f.wantSame(t, 0)) // it was saved
		f.serve(t, 10*time.Second, 25*time.Minute)
		f.wantRequests(t, 1+1)
	})
}

// A server that restarts without a disk, again and again.
func TestFlushedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5)
		f.wantSame(t, blinkLatency+lookAgain)
		stop := time.NewTicker(7 * time.Second)
		defer stop.Stop()
		go func() {
			for {
				select {
				case <-stop.C:
					f.store.Flush()
				case <-t.Context().Done():
					return
				}
			}
		}()
		f.serve(t, 10*time.Second, 140*time.Minute)
		if f.requests() > 1+5*5 {
			t.Errorf("%d token requests of 5 processes in 5 rollovers", f.requests())
		}
	})
}

// The time that a store wastes must not be missing for the request.
func TestHungStoreAndAShortFetchTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout, latency time.Duration
	}{
		"shorter than a call of the store":        {storeTimeout - blinkLatency, blinkLatency},
		"a provider that takes most of that time": {2 * storeTimeout, 5 * storeTimeout / 4},
	} {
		for _, hung := range []string{"Load", "TryLock", "Save", "unlock"} {
			inBubble(t, name+", "+hung+" hangs", func(t *testing.T) {
				f := newFleet(t, 1)
				f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: tt.latency})
				m := f.members[0]
				m.FetchTimeout = tt.timeout
				m.store.Before = func(ctx context.Context, method, _ string) error {
					if method == hung {
						return pause(ctx, time.Hour)
					}
					return nil
				}
				f.tokens(t, m.FetchTimeout)
			})
		}
	}
}

// The first caller got a type that is not exported, those after it an *Error.
func TestErrorWithAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokensource.Cache{
			Source: &scriptedSource{reply: failing(1, always, errRefusal, 0)},
			Store:  (&storetest.Memory{}).Handle(), StoreKey: tokensource.Secret("key"),
		}
		defer cache.Close()
		for range 2 {
			if _, err := cache.Token(); err == nil {
				t.Error("got a token")
			} else if _, ok := err.(*tokensource.Error); !ok {
				t.Errorf("got %T: %[1]v", err)
			}
			if _, ok := cache.Status().Err.(*tokensource.Error); !ok {
				t.Errorf("Status has %T", cache.Status().Err)
			}
		}
	})
}

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error) { panic("no JSON") }

// What happens after the caller got its token has no caller whom a panic could
// reach: it took the process.
func TestPanicWhileTheTokenIsSaved(t *testing.T) {
	for name, c := range map[string]struct {
		extra   any
		onEvent func(tokensource.Event)
	}{
		"of OnEvent":        {"x", func(tokensource.Event) { panic("no exporter") }},
		"OnEvent's Goexit":  {"x", func(tokensource.Event) { runtime.Goexit() }},
		"of an extra field": {panicsInJSON{}, func(tokensource.Event) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := (&storetest.Memory{}).Handle()
				store.Before = func(_ context.Context, method, _ string) error {
					if method == "Save" {
						time.Sleep(100 * time.Millisecond)
						return errors.New("disk full")
					}
					return nil
				}
				cache := &tokensource.Cache{
					Source: tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) {
						tok, err := lasting(1, time.Hour)
						return tok.WithExtra(map[string]any{"field": c.extra}), err
					}),
					Store: store, StoreKey: tokensource.Secret("key"),
					OnEvent: func(_ context.Context, e tokensource.Event) {
						if e.Kind == tokensource.EventStoreFailed {
							c.onEvent(e)
						}
					},
				}
				wantToken(t, cache, "token-1")
				time.Sleep(time.Second)
				wantToken(t, cache, "token-1")
				cache.Close() // waits for the lock to be given back
			})
		})
	}
}

// What is called for a look at the store may hang: the call is held all the same.
func TestHangDuringALookAtTheStore(t *testing.T) {
	for name, hangs := range map[string]struct{ credentials, hook bool }{
		"the credentials": {credentials: true},
		"OnToken":         {hook: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newFleet(t, 1).members[0]
				looking := false
				src := m.Source.(*tokensource.Blink)
				valid := src.Credentials
				src.Credentials = func(ctx context.Context) (string, string, error) {
					if looking && hangs.credentials {
						time.Sleep(time.Hour)
					}
					return valid(ctx)
				}
				m.OnToken = func(context.Context, *oauth2.Token) error {
					if looking && hangs.hook {
						time.Sleep(time.Hour)
					}
					return errDiskFull
				}
				if a := ask(t.Context(), m); !errors.Is(a.err, errDiskFull) {
					t.Fatalf("got %q, %v", a.access, a.err)
				}
				looking = true
				time.Sleep(500 * time.Millisecond) // half of the hold
				if a := ask(t.Context(), m); !errors.Is(a.err, errDiskFull) || a.waited > fetchTimeout {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				if a := ask(t.Context(), m); a.err == nil || a.waited > fetchTimeout {
					t.Fatalf("then %q, %v after %v", a.access, a.err, a.waited)
				}
			})
		})
	}
}

func TestCloseWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &scriptedSource{lifetime: time.Hour}
		store := &storetest.Memory{Before: func(context.Context, string, string) error { time.Sleep(5 * time.Second); return nil }}
		var failures atomic.Int32
		c := &tokensource.Cache{Source: contextless{src}, Store: store, StoreKey: []byte("key"), OnEvent: func(_ context.Context, e tokensource.Event) {
			if e.Kind == tokensource.EventStoreFailed {
				failures.Add(1)
			}
		}}
		done := make(chan answer, 1)
		go func() { done <- ask(t.Context(), c) }()
		time.Sleep(storeTimeout / 2)
		start := time.Now()
		c.Close()
		if a := <-done; !errors.Is(a.err, tokensource.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("%+v, want ErrClosed at once", a)
		}
		time.Sleep(time.Minute)
		wantCalls(t, src, 0)
		if failures.Load() > 0 {
			t.Error("a closed cache complains about its store")
		}
	})
}
