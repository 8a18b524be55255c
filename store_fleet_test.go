package tokensource_test

// Several Caches on one store, each standing for a process, in virtual time: the
// fleet that the other store tests use, and what it costs when all goes well.

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
		OnEvent: func(e tokensource.Event) {
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
	entries := f.store.Entries()
	if len(entries) != 1 {
		t.Fatalf("the store has %d entries, want 1", len(entries))
	}
	for key, value = range entries {
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

// Row 21: cross-process store
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
