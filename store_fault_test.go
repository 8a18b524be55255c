package tokensource_test

// Stores that fail in every way. No caller may fail, or wait again once it has
// its first token; each process then costs what it costs without a store, and
// the fleet converges again when the store works.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
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
