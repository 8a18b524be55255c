package tokensource_test

// Several Caches on one store, each standing for a process, in virtual time: the
// fleet that the other store tests use, and what it costs when all goes well.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
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
