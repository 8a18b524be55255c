package tokensource_test

// A fleet to which anything may happen, in any order.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
