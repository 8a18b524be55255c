package tokensource

// A random walk through the states of the Cache, in virtual time: sources that
// fail, hang, cache, expire or crash, hooks that call the Cache, a Store that
// does not work, a clock that is set, rejected tokens, late answers.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

type walk struct {
	*rand.Rand
	mu     sync.Mutex // guards Rand
	c      *Cache
	well   bool // the source works
	issued int
	last   *oauth2.Token
}

func (w *walk) n(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.IntN(n)
}

// source answers as it likes.
func (w *walk) source(ctx context.Context) (*oauth2.Token, error) {
	w.mu.Lock()
	w.issued++
	tok := &oauth2.Token{AccessToken: fmt.Sprint("token-", w.issued), Expiry: time.Now().Add(time.Duration(1+w.IntN(100)) * 10 * time.Second)}
	well, last := w.well, w.last
	w.last = tok
	w.mu.Unlock()
	if well {
		tok.Expiry = time.Now().Add(time.Hour)
		return tok, nil
	}
	switch w.n(12) {
	case 0:
		return nil, &Error{Status: 503, Err: errors.New("failing")}
	case 1:
		return nil, &Error{Status: 429, RetryAfter: time.Duration(w.n(100)) * time.Second, Err: errors.New("busy")}
	case 2:
		return nil, &Error{Status: 401, Err: ErrCredentials}
	case 3:
		panic("crash")
	case 4:
		runtime.Goexit()
	case 5:
		tok.Expiry = time.Now().Add(-time.Second)
	case 6: // slow, maybe beyond FetchTimeout, whatever ctx says
		time.Sleep(time.Duration(w.n(60)) * time.Second)
	case 7:
		if last != nil {
			return last, nil
		}
	case 8:
		<-ctx.Done()
		return nil, ctx.Err()
	case 9:
		tok.Expiry, tok.ExpiresIn = time.Now(), 299
	}
	return tok, nil
}

func (w *walk) hook() {
	switch w.n(20) {
	case 0:
		w.c.Token()
	case 1:
		time.Sleep(time.Duration(w.n(1000)) * time.Millisecond)
	case 2:
		w.c.Invalidate(&oauth2.Token{AccessToken: fmt.Sprint("token-", w.issuedSoFar())})
	}
}

func (w *walk) issuedSoFar() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.issued
}

func (w *walk) isWell() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.well
}

// call asks for a token, and fails the test if that does not end.
func (w *walk) call(t *testing.T) error {
	start := time.Now()
	_, err := w.c.Token()
	// A flight, the one after it, and the hooks.
	if waited := time.Since(start); waited > 3*defaultFetchTimeout {
		t.Errorf("a call took %v: %v", waited, err)
	}
	if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
		t.Errorf("got %T: %v", err, err)
	}
	return err
}

// check looks at the Cache when nothing moves.
func (w *walk) check(t *testing.T) {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	now, s := time.Now(), c.current.Load()
	if c.flight != nil && c.flight.landed {
		t.Error("a flight has landed and is still there")
	}
	if s.valid(now) && s.used() && !c.Synchronous && c.flight == nil && c.timer == nil && s.refreshes() < s.expires() {
		t.Error("a token in use has neither a timer nor a flight")
	}
}

func walkCache(t *testing.T, seed uint64) {
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 1))}
	c := &Cache{StoreKey: []byte("key"), Synchronous: w.n(4) == 0}
	w.c = c
	if w.n(2) == 0 {
		c.Source = TokenFunc(w.source)
	} else {
		c.Source = sourceFunc(func() (*oauth2.Token, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return w.source(ctx)
		})
	}
	if w.n(2) == 0 {
		c.Store = &walkStore{w: w, entries: map[string]walkEntry{}}
	}
	if w.n(2) == 0 {
		c.OnEvent = func(context.Context, Event) { w.hook() }
	}
	if w.n(2) == 0 {
		c.OnToken = func(context.Context, *oauth2.Token) error {
			if w.hook(); w.n(5) == 0 && !w.isWell() {
				return errors.New("the disk is full")
			}
			return nil
		}
	}
	var callers sync.WaitGroup
	for range 60 {
		for range w.n(4) {
			callers.Go(func() { w.call(t) })
		}
		switch w.n(6) {
		case 0:
			c.Invalidate(&oauth2.Token{AccessToken: fmt.Sprint("token-", w.issuedSoFar())})
		case 1:
			synctest.Wait()
			setClock(c, time.Duration(w.n(3600))*time.Second) // only forward: no bubble has a monotonic clock
		case 2:
			c.Status()
		}
		time.Sleep(time.Duration(w.n(30000)) * time.Millisecond)
		synctest.Wait()
		w.check(t)
	}
	// It recovers when the source does.
	callers.Wait()
	w.mu.Lock()
	w.well = true
	w.mu.Unlock()
	time.Sleep(retryAfterMax + time.Minute)
	if w.call(t) != nil {
		time.Sleep(longOutageHold)
		if err := w.call(t); err != nil {
			t.Errorf("the source works again, and calls fail: %v", err)
		}
	}
	c.Close()
	issued := w.issuedSoFar()
	if err := w.call(t); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	time.Sleep(time.Hour)
	if w.issuedSoFar() != issued {
		t.Error("the source was called after Close")
	}
}

// walkStore fails, hangs and forgets.
type walkStore struct {
	w       *walk
	mu      sync.Mutex
	entries map[string]walkEntry
	locked  bool
}

type walkEntry struct {
	value []byte
	until time.Time
}

func (s *walkStore) fault(ctx context.Context) error {
	switch s.w.n(12) {
	case 0:
		return errors.New("connection refused")
	case 1:
		<-ctx.Done()
		return ctx.Err()
	case 2:
		time.Sleep(5 * time.Second)
	}
	return nil
}

func (s *walkStore) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	if err := s.fault(ctx); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[key]
	if left := time.Until(e.until); ok && left > 0 {
		return e.value, left, nil
	}
	return nil, 0, ErrNotFound
}

func (s *walkStore) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.fault(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[key] = walkEntry{value, time.Now().Add(ttl)}
	return nil
}

func (s *walkStore) Delete(ctx context.Context, key string, _ []byte) error {
	if err := s.fault(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	return nil
}

func (s *walkStore) TryLock(ctx context.Context, _ string) (context.Context, func(), error) {
	if err := s.fault(ctx); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked || s.w.n(10) == 0 {
		return nil, nil, ErrLocked
	}
	s.locked = true
	held, cancel := context.WithCancel(ctx)
	return held, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if held.Err() == nil {
			s.locked = false
		}
		cancel()
	}, nil
}

func TestRandomWalks(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { walkCache(t, seed) })
		})
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { walkCache(t, seed) })
	})
}
