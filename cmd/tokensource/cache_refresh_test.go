package main

// Which token a run of the command gets when there is a kept one that is not
// wanted, or not for long: on a store in memory, in virtual time.

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

// runs are runs of the command on one store, in virtual time.
type runs struct {
	*sandbox.Sandbox
	store *storetest.Memory
}

func inBubble(t *testing.T, name string, test func(t *testing.T, r *runs)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &runs{sandbox.NewInProcess(sandbox.Config{}), &storetest.Memory{}}
			r.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: time.Second})
			test(t, r)
		})
	})
}

func (r *runs) run(t *testing.T, refresh bool) (access string, took time.Duration) {
	t.Helper()
	return r.runWith(t, r.store.Handle(), refresh)
}

func (r *runs) runWith(t *testing.T, store *storetest.Memory, refresh bool) (access string, took time.Duration) {
	t.Helper()
	src := &tokensource.Blink{
		Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
		BaseURL:     r.URL,
		HTTPClient:  r.Client(),
	}
	const timeout = 15 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	begin := time.Now()
	cache := &tokensource.Cache{Source: src, Store: store, Synchronous: true, FetchTimeout: timeout}
	tok, err := get(ctx, cache, refresh, func(err error) { t.Errorf("warning: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken, time.Since(begin)
}

func (r *runs) wantRequests(t *testing.T, n int) {
	t.Helper()
	if got := r.Ledger()[sandbox.Blink].TokenRequests; got != n {
		t.Errorf("%d token requests, want %d", got, n)
	}
}

func TestForceRefreshBesideOtherRuns(t *testing.T) {
	inBubble(t, "another run is faster: its token is new enough", func(t *testing.T, r *runs) {
		r.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
		old, _ := r.run(t, false)
		time.Sleep(time.Minute)
		store := r.store.Handle()
		var newer string
		loads := 0
		store.Before = func(_ context.Context, method, _ string) error {
			if loads++; method == "Load" && loads == 2 { // the kept token has been rejected
				newer, _ = r.run(t, true)
			}
			return nil
		}
		if got, _ := r.runWith(t, store, true); got != newer || got == old {
			t.Error("the newer token was not used")
		}
		if got, _ := r.run(t, false); got != newer {
			t.Error("the newer token was not kept")
		}
		r.wantRequests(t, 2)
	})
	inBubble(t, "a run that began before gets one: no need of another", func(t *testing.T, r *runs) {
		first := make(chan string)
		go func() {
			access, _ := r.run(t, false)
			first <- access
		}()
		time.Sleep(100 * time.Millisecond)
		got, _ := r.run(t, true)
		if got != <-first {
			t.Error("a token that was fetched meanwhile was refused")
		}
		r.wantRequests(t, 1)
	})
	inBubble(t, "many at once: one request", func(t *testing.T, r *runs) {
		old, _ := r.run(t, false)
		const n = 10
		tokens := make(chan string, n)
		for range n {
			go func() {
				access, _ := r.run(t, true)
				tokens <- access
			}()
		}
		last, _ := r.run(t, true)
		for range n {
			if access := <-tokens; access == old || access != last {
				t.Error("not all have the same new token")
			}
		}
		r.wantRequests(t, 2)
	})
}

// A script has yet to use what it gets, so a token near its end is replaced:
// where the provider allows it.
func TestKeptTokenNearItsEnd(t *testing.T) {
	const late = 28 * time.Minute // of 30
	inBubble(t, "replaced", func(t *testing.T, r *runs) {
		old, _ := r.run(t, false)
		time.Sleep(late)
		next, _ := r.run(t, false)
		again, took := r.run(t, false)
		if next == old || again != next || took > 0 {
			t.Errorf("the next run did not get a new token, or the one after it did not get that: %v", took)
		}
		r.wantRequests(t, 2)
	})
	inBubble(t, "not yet", func(t *testing.T, r *runs) {
		old, _ := r.run(t, false)
		time.Sleep(20 * time.Minute)
		if got, took := r.run(t, false); got != old || took > 0 {
			t.Errorf("a token with a third of its life left was replaced")
		}
	})
	for name, fault := range map[string]sandbox.Fault{
		"outage":                {Status: http.StatusServiceUnavailable},
		"a provider that hangs": {Delay: time.Hour},
	} {
		inBubble(t, name, func(t *testing.T, r *runs) {
			old, _ := r.run(t, false)
			time.Sleep(late)
			r.Always(sandbox.Blink, sandbox.Token, fault)
			if got, took := r.run(t, false); got != old || took > 5*time.Second {
				t.Errorf("got the kept token: %v, after %v", got == old, took)
			}
		})
	}
}
