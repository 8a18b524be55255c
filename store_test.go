package tokensource_test

// The refresh protocol: who asks, who waits, who takes over.

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
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
