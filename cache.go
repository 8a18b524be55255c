package tokensource

// The Cache knows time: who gets the current token at once, who waits, when a
// token is to be refreshed. How it is refreshed stands in refresh.go.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

const (
	safetyMargin = 10 * time.Second // before the provider's expiry, at most a tenth of the lifetime

	maxLifetime = 24 * time.Hour // a longer ExpiresIn is taken for a mistake

	earlyFraction = 5               // the early window is a fifth of the lifetime,
	earlyMax      = 5 * time.Minute // at most this
)

// Cache shares the token of another source among its callers. A read of a valid
// token takes no lock and never waits: a token in use is refreshed before it
// expires, in the background, by one request for everybody.
//
// What a call returns is the caller's own copy. A call waits only where there
// is no valid token, and leaves when its context ends; its error is an [*Error].
//
// Tokens of a source with a method SingleUse() bool that says true are never
// cached or shared: every call is a request of its own. The same goes for
// tokens that have expired on arrival.
type Cache struct {
	Source oauth2.TokenSource // required; any, not only ours. A ContextTokenSource is asked with a context.

	// EarlyRefresh is how long before a token's expiry it is refreshed in the
	// background. Default: a fifth of the lifetime, at most 5 minutes; never
	// more than half the lifetime. Each token shortens it by a random 0 to 20%,
	// so that many processes do not refresh at the same moment. Callers stop
	// using a token 10 s before its expiry (a tenth of the lifetime if that is
	// less); an EarlyRefresh below that leaves no room and makes them wait.
	EarlyRefresh time.Duration

	FetchTimeout time.Duration // of one whole refresh, retries included; default 30 s

	// Synchronous avoids background work, for serverless functions and short
	// commands: in the early window one caller refreshes the token while the
	// others take the valid one. A token that a call has just taken from the
	// Store it returns as it is.
	Synchronous bool

	// Store shares the token with other processes that have the same
	// credentials. A store that does not work is gone without. Default: none.
	Store Store

	// StoreKey is the identity of a Source that is not ours: secret bytes,
	// shared by exactly the processes that may share its tokens. Required with
	// a Store then. With a source of ours it adds to the credentials, endpoint
	// and options that are its identity: set it where a client certificate
	// decides as well.
	StoreKey Secret

	// OnToken is told each new token before any caller sees it. While it
	// returns an error the token is not handed out: it is kept, and OnToken
	// asked again at the next attempt. A single-use token is not kept.
	OnToken func(context.Context, *oauth2.Token) error

	// OnEvent is told what happens, on the goroutine where it happens: it must
	// return soon.
	OnEvent func(Event)

	current atomic.Pointer[snapshot]
	id      atomic.Uint64 // among the flights of all caches; 0 before the first
	working sync.WaitGroup
	minting atomic.Bool // the source turned out to hand out single-use tokens

	mu         sync.Mutex // guards what follows; never held around I/O
	closed     bool
	underway   map[*context.CancelCauseFunc]bool // ends flights; nil while there is none
	timer      *time.Timer                       // refreshes the current token
	failure    *backoff                          // the last refresh's; nil after a success
	rejections *backoff                          // spaces the requests that Invalidate causes

	left leftover
}

// snapshot is a token and its times. They are wall-clock Unix nanoseconds: the
// monotonic clock stands still while a machine is suspended.
type snapshot struct {
	token         oauth2.Token
	authorization [1]string // the header's value
	asked         int64     // the lifetime began
	refresh       int64     // the early window opens
	expiry        int64     // callers no longer get it
	once          bool      // for one caller only
	loaded        bool      // from the Store

	// next is when a read has more to do than to return the token: 0 until the
	// first use, then refresh, after a failed refresh the next attempt.
	next    atomic.Int64
	claimed atomic.Bool // somebody refreshes it; if once, somebody has it
}

var background = context.Background()

// Token is TokenContext without a context.
func (c *Cache) Token() (tok *oauth2.Token, err error) {
	s, err := c.get(background)
	if s != nil {
		own := s.token
		tok = &own
	}
	return
}

// TokenContext returns a valid token, waiting for one if it must. What ctx
// carries (the HTTP client, a trace) also serves the refreshes that this call
// leads to; its cancellation does not.
func (c *Cache) TokenContext(ctx context.Context) (tok *oauth2.Token, err error) {
	// As Token, just small enough to be inlined: the copy then costs no
	// allocation where the caller does not keep it.
	s, err := c.get(ctx)
	if s != nil {
		own := s.token
		tok = &own
	}
	return
}

// Invalidate forgets a token that the API rejected, so that the next call gets
// another. A token that is no longer the current one is ignored: many callers
// rejecting one token cause one request.
//
// Where one replacement after the other is rejected the cause is not the token.
// Replacements are then 1 s apart, doubling to 30 s, and until the next one is
// due the rejected token stays, for it may still serve other requests.
func (c *Cache) Invalidate(rejected *oauth2.Token) {
	c.mu.Lock()
	s := c.current.Load()
	if s == nil || rejected == nil || s.token.AccessToken != rejected.AccessToken {
		c.mu.Unlock()
		return
	}
	kind, now := EventHeld, time.Now()
	if r := c.rejections; r == nil || now.After(r.until) {
		kind = EventInvalidated
		if r != nil && now.Sub(r.until) > holdMax {
			c.rejections = nil
		}
		c.rejections = c.rejections.next(now, nil)
		if c.Store != nil && !s.token.Expiry.IsZero() {
			c.rejections.token = s
		}
		c.replace(nil)
	}
	c.mu.Unlock()
	c.emit(Event{Kind: kind, ExpiresIn: s.remaining()})
}

// Close stops background work and waits for it; calls under way and later ones
// return [ErrClosed]. A source that takes no context cannot be stopped: its
// call is left to end by itself. Close must not be called from OnToken or
// OnEvent, for which it waits. A Cache that is dropped without Close makes one
// more request at most. The error is always nil.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.replace(nil)
	for cancel := range c.underway {
		(*cancel)(ErrClosed)
	}
	c.mu.Unlock()
	c.working.Wait()
	return nil
}

// replace makes s the current token; c.mu is held.
func (c *Cache) replace(s *snapshot) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.current.Store(s)
}

// get is the read: an atomic load and a look at the clock.
func (c *Cache) get(ctx context.Context) (*snapshot, error) {
	now := time.Now().UnixNano()
	if s := c.current.Load(); s != nil && now < s.next.Load() {
		return s, nil
	}
	return c.getSlow(ctx)
}

func (c *Cache) getSlow(ctx context.Context) (*snapshot, error) {
	for {
		if s := c.use(ctx, c.current.Load()); s != nil {
			return s, nil
		}
		s, err := c.wait(ctx)
		switch {
		case errors.Is(err, errElsewhere): // the token expired just now
		case err != nil:
			return nil, err
		case s.once && s.claimed.CompareAndSwap(false, true):
			return s, nil
		case s.once, c.current.Load() == nil: // another caller's, or rejected meanwhile
		default:
			c.touch(ctx, s)
			return s, nil
		}
	}
}

// wait gets the result of the flight under way, or of a new one.
func (c *Cache) wait(ctx context.Context) (*snapshot, error) {
	if ctx.Err() == nil {
		select {
		case r := <-c.fly(ctx):
			s, _ := r.Val.(*snapshot)
			return s, r.Err
		case <-ctx.Done():
		}
	}
	return nil, &Error{Provider: c.provider(), Err: fmt.Errorf("the caller's context ended before there was a token: %w", ctx.Err())}
}

// touch marks s as used.
func (c *Cache) touch(ctx context.Context, s *snapshot) {
	if s.next.CompareAndSwap(0, s.refresh) {
		c.schedule(ctx, s, s.refresh)
	}
}

// use returns a valid token to hand out, s as a rule, and sees to its refresh.
// It returns nil where there is none, or that took longer than s was valid.
func (c *Cache) use(ctx context.Context, s *snapshot) *snapshot {
	if !s.valid() {
		return nil
	}
	if c.touch(ctx, s); time.Now().UnixNano() < s.next.Load() {
		return s
	}
	if s.claimed.CompareAndSwap(false, true) {
		done := c.fly(ctx)
		if c.Synchronous {
			select {
			case <-done:
			case <-ctx.Done():
			}
			if s = c.current.Load(); !s.valid() {
				return nil
			}
			c.touch(ctx, s)
			return s
		}
	}
	c.emit(Event{Kind: EventServed, ExpiresIn: s.remaining()})
	return s
}

// schedule has s refreshed at a time even if nobody asks then. The caller's
// context may carry the HTTP client, so its values stay.
func (c *Cache) schedule(ctx context.Context, s *snapshot, at int64) {
	if c.Synchronous || at >= s.expiry {
		return
	}
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.Load() != s {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(time.Until(time.Unix(0, at)), func() { c.wake(ctx, s) })
}

func (c *Cache) wake(ctx context.Context, s *snapshot) {
	switch {
	case !s.valid(): // suspended meanwhile: whoever asks next gets a new one
	case time.Now().UnixNano() < s.next.Load(): // the wall clock was set back
		c.schedule(ctx, s, s.next.Load())
	case s.claimed.CompareAndSwap(false, true):
		c.fly(ctx)
	}
}

// newSnapshot copies a token. Its text is kept once, within the header's value.
func newSnapshot(tok *oauth2.Token) *snapshot {
	header := tok.Type() + " " + tok.AccessToken
	s := &snapshot{token: *tok, authorization: [1]string{header}}
	s.token.AccessToken = header[len(header)-len(tok.AccessToken):]
	return s
}

// snapshot takes its own copy of a token that was asked for at start.
func (c *Cache) snapshot(tok *oauth2.Token, start time.Time) *snapshot {
	const never = 1<<63 - 1
	start = start.Round(0)
	s := newSnapshot(tok)
	s.asked, s.refresh, s.expiry = start.UnixNano(), never, never
	s.once = c.singleUse()
	if tok.Expiry.IsZero() {
		if tok.ExpiresIn <= 0 {
			return s
		}
		s.token.Expiry = start.Add(time.Duration(min(tok.ExpiresIn, int64(maxLifetime/time.Second))) * time.Second)
	}
	s.token.Expiry = s.token.Expiry.Round(0)
	s.once = s.once || s.remaining() <= 0
	life := min(s.token.Expiry.Sub(start), 100*365*24*time.Hour) // Unix nanoseconds end in 2262
	early := c.EarlyRefresh
	if early <= 0 {
		early = min(life/earlyFraction, earlyMax)
	}
	end := start.Add(life)
	s.expiry = end.Add(-min(safetyMargin, life/10)).UnixNano()
	s.refresh = min(end.Add(-shorten(min(early, life/2))).UnixNano(), s.expiry)
	return s
}

// valid reports whether there is a token that callers may still get.
func (s *snapshot) valid() bool { return s != nil && time.Now().UnixNano() < s.expiry }

// remaining is the time to the provider's expiry, 0 where there is none.
func (s *snapshot) remaining() time.Duration {
	if s.token.Expiry.IsZero() {
		return 0
	}
	return time.Until(s.token.Expiry)
}

// shorten takes a random 0 to 20% off.
func shorten(d time.Duration) time.Duration { return d - rand.N(max(d/5, 0)+1) }
