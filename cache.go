package tokensource

// The Cache knows time: which call gets the current token at once, and which
// waits. How a token is refreshed is in refresh.go.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// Cache shares the token of another source among its callers. A read of a valid
// token takes no lock and never waits: a token in use is refreshed before it
// expires, in the background, by one request for all callers.
//
// What a call returns is the caller's own copy. A call waits only if there is
// no valid token, and leaves when its context ends; its error is an [*Error].
//
// Tokens of a single-use source are never shared: each call has a request of
// its own, or one of the tokens that Ready keeps. A source is single-use if its
// [Endpoint] says so, or an optional method SingleUse() bool of its own. One
// that wraps such a source and hides that is recognised by its tokens: they
// expire in the moment in which they are issued and have a positive ExpiresIn.
//
// A source may have a second optional method, Refresh(context.Context,
// *oauth2.Token) (*oauth2.Token, error), which is called instead of Token if
// there is an earlier token; that one may have expired.
type Cache struct {
	Source oauth2.TokenSource // required; any. A ContextTokenSource is called with a context.

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

	// Ready is how many tokens of a single-use source are fetched ahead, so
	// that a session start does not wait for a token request. They are replaced
	// as they are taken, and when only a fifth of their life is left; after a
	// minute without a call none is fetched any more. Default 0; an error with
	// any other source, and with Synchronous.
	Ready int

	// Store shares the token with other processes that have the same
	// credentials. If it does not work, each process asks for itself. A new
	// token is saved after its caller got it: a program that may end then calls
	// Close, or sets Synchronous. Default: none.
	Store Store

	// StoreKey is the identity of a Source that is no [Provider]: secret bytes,
	// shared by exactly the processes that may share its tokens. It is required
	// with a Store then. With a Provider it adds to the credentials, endpoint
	// and options that are its identity: set it if a client certificate decides
	// as well.
	StoreKey Secret

	// OnToken is told each new token before any caller gets it. While it
	// returns an error the token is not handed out: it is kept, and OnToken
	// called again at the next attempt. A single-use token is not kept. A call
	// of the Cache from within OnToken gets the token that is valid until then,
	// or an error.
	OnToken func(context.Context, *oauth2.Token) error

	// OnEvent is told what happens, on the goroutine where it happens and with
	// the context of that call or refresh. It must return soon. It may call the
	// Cache, which gives it the valid token or, if there is none to be shared,
	// an error; it is not told what comes of that.
	OnEvent func(context.Context, Event)

	current atomic.Pointer[snapshot] // the API may have rejected it
	failure atomic.Pointer[failure]  // of the last refresh; nil after a success
	facts   atomic.Pointer[facts]
	inHooks atomic.Int32 // calls of OnEvent and OnToken under way
	ready   atomic.Int32 // tokens in the pool

	closed  bool           // guarded by mu, as is what follows
	mu      sync.Mutex     // never held around foreign code
	working sync.WaitGroup // what Close waits for
	timer   *time.Timer    // begins the next refresh, or fills the pool
	flight  *flight        // the refresh under way
	handed  [2]uint64      // hashes of the last tokens before the current one
	more    *more          // what few caches need, and those seldom; nil until then
}

type more struct {
	own        context.Context // of refreshes that no call begins: has the oauth2.HTTPClient of the last call
	beside     context.Context // of work beside the flight
	stopBeside context.CancelCauseFunc
	rejections backoff
	shared     sharedState // the processes on the Store
	pool       pool        // single-use tokens that are ready
}

// rare returns what few caches need; c.mu is held.
func (c *Cache) rare() *more {
	if c.more == nil {
		c.more = &more{own: background}
		c.more.beside, c.more.stopBeside = context.WithCancelCause(background)
	}
	return c.more
}

var background = context.Background()

// Token is TokenContext without a context.
func (c *Cache) Token() (tok *oauth2.Token, err error) {
	s, err := c.own(background)
	if s != nil {
		own := s.token
		tok = &own
	}
	return
}

// TokenContext returns a valid token, waiting for one if it must. The values of
// ctx (an HTTP client, a trace) also serve the refresh that this call begins, as
// long as it waits for that; a refresh in the background keeps the
// oauth2.HTTPClient only. The end of ctx ends the wait, not the refresh.
func (c *Cache) TokenContext(ctx context.Context) (tok *oauth2.Token, err error) {
	// As Token, just small enough to be inlined: the copy then costs no
	// allocation if the caller does not keep it.
	s, err := c.own(ctx)
	if s != nil {
		own := s.token
		tok = &own
	}
	return
}

// own is a snapshot whose token may be copied for the caller.
func (c *Cache) own(ctx context.Context) (*snapshot, error) {
	s, err := c.get(ctx)
	return s.own(), err
}

// get is the read: an atomic load and a look at the clock.
func (c *Cache) get(ctx context.Context) (*snapshot, error) {
	now := time.Now()
	if s := c.current.Load(); s != nil && s.age(now) < time.Duration(s.refreshAge.Load()) {
		return s, nil
	}
	return c.getSlow(ctx, now)
}

// getSlow serves the calls that find no valid token, or one to be refreshed.
func (c *Cache) getSlow(ctx context.Context, start time.Time) (*snapshot, error) {
	about := c.about()
	if about.err != nil {
		return nil, asError(about.name, about.err)
	}
	if c.calledFromHook() {
		if s := c.current.Load(); s.valid(start) {
			return s, nil
		}
		return nil, asError(about.name, errFromHook)
	}
	waited, arrived := false, (*snapshot)(nil)
	for now := start; ; now = time.Now() {
		t := c.admit(ctx, now, arrived)
		refreshesInline := c.Synchronous && t.began != nil
		switch {
		case t.token != nil && !refreshesInline:
			e := Event{ExpiresIn: t.token.remaining(now)}
			if waited {
				e.Kind, e.Duration = EventWaited, now.Sub(start)
			} else if t.done != nil {
				e.Kind = EventServed
			}
			c.tell(ctx, e)
			return t.token, nil
		case t.err != nil:
			if _, held := t.err.(*Error); held {
				c.tell(ctx, Event{Kind: EventHeld, Err: t.err})
			}
			return nil, asError(about.name, t.err)
		}
		s, err := t.wait(ctx)
		goesOn := t.token != nil || errors.As(err, new(*postponed)) // what is valid now counts
		if err != nil && !goesOn {
			err = asError(about.name, err)
			c.tell(ctx, Event{Kind: EventWaited, Err: err, Duration: time.Since(start)})
			return nil, err
		}
		waited, arrived = true, s
	}
}

// ticket is what a call gets.
type ticket struct {
	token *snapshot                  // to be handed out,
	done  <-chan singleflight.Result // or to be waited for; both if the token is being refreshed
	began *flight                    // the flight, if this call began it
	err   error                      // if there is neither; an *Error if the last failure is held
}

// admit decides what a call gets: under one lock, by one reading of the clock.
// A call that has waited takes what arrived, however short its life, unless that is
// another call's, or was replaced or rejected meanwhile.
func (c *Cache) admit(ctx context.Context, now time.Time, arrived *snapshot) (t ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.current.Load()
	arrivedIsCurrent := arrived != nil && arrived == s && !s.spent.Load()
	switch {
	case c.closed:
		t.err = ErrClosed
		return t
	case arrived != nil && arrived.single && arrived.spent.CompareAndSwap(false, true):
		t.token = arrived
		return t
	case c.Ready > 0:
		if t.token = c.takeReady(ctx, now); t.token != nil {
			return t
		}
	case arrivedIsCurrent, s.valid(now):
		t.token = s
		if c.markUsed(ctx, s, now); arrivedIsCurrent || s.age(now) < s.refreshes() {
			return t
		}
	}
	if t.token == nil && ctx.Err() != nil {
		t.err = errLeft(ctx)
		return t
	}
	f := c.flight
	if recovered := c.about().single && c.failure.Load() == nil; f == nil || recovered { // each call has its own again
		if t.err = c.heldNow(now, t.token != nil); t.err != nil {
			return t
		}
		f = c.newFlight(ctx, now, t.token == nil || c.Synchronous)
		t.began = f
	} else if c.Ready > 0 { // it may be the pool's
		c.more.pool.leave(f)
	}
	t.done = c.join(f)
	return t
}

// wait waits for the flight, no longer than ctx allows.
func (t *ticket) wait(ctx context.Context) (*snapshot, error) {
	if t.began != nil {
		defer t.began.values.leave()
	}
	select {
	case r := <-t.done:
		s, _ := r.Val.(*snapshot)
		return s, r.Err
	case <-ctx.Done():
		if t.began != nil && t.began.private {
			t.began.cancel(ctx.Err())
		}
		return nil, errLeft(ctx)
	}
}
