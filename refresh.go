package tokensource

// A refresh: one flight at a time, with its retries and its hooks. What its
// failure means to the calls that follow stands in hold.go.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	fetchTimeout = 30 * time.Second

	tries      = 3                      // within one refresh
	retryDelay = 200 * time.Millisecond // doubling, full jitter
)

// flights of all caches, by Cache.id: a Group of its own would be the largest
// part of an idle Cache, and an address may be another Cache's before
// singleflight is done with it.
var (
	flights singleflight.Group
	caches  atomic.Uint64
)

// leftover is what one flight leaves to the next, which alone touches it.
type leftover struct {
	pending    <-chan result[*snapshot] // an answer that FetchTimeout left behind
	unreleased *snapshot                // OnToken failed on it
}

// fly joins the flight under way or starts one, with the first caller's values
// and nobody's cancellation. A single-use token is of use to its caller only:
// that flight is the caller's own and ends with it. A panic or Goexit inside
// must not reach singleflight, whose waiters would crash or hang on it.
func (c *Cache) fly(ctx context.Context) <-chan singleflight.Result {
	group, left := &flights, &c.left
	if c.singleUse() {
		group, left = new(singleflight.Group), new(leftover)
	} else {
		ctx = context.WithoutCancel(ctx)
	}
	if c.id.Load() == 0 {
		c.id.CompareAndSwap(0, caches.Add(1))
	}
	return group.DoChan(strconv.FormatUint(c.id.Load(), 10), func() (any, error) {
		r := <-guard(func() (*snapshot, error) { return c.flight(ctx, left) })
		if r.err != nil {
			return nil, asError(c.provider(), r.err)
		}
		return r.val, nil
	})
}

func (c *Cache) singleUse() bool {
	if e := endpointOf(c.Source); e != nil && e.SingleUse {
		return true
	}
	s, ok := c.Source.(interface{ SingleUse() bool })
	return c.minting.Load() || ok && s.SingleUse()
}

func (c *Cache) flight(caller context.Context, left *leftover) (s *snapshot, err error) {
	start := time.Now()
	old := c.current.Load()
	if old != nil && start.UnixNano() < old.refresh {
		return old, nil // the flight before was faster
	}
	defer func() {
		if s == nil && old != nil {
			c.retryLater(caller, old)
		}
	}()
	ctx, end, err := c.begin(caller)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := c.held(ctx); err != nil {
		return nil, err
	}
	if s, err = c.obtain(ctx, left, old); err == nil {
		err = c.publish(s)
	}
	switch {
	case err == nil && s.loaded:
		c.emit(Event{Kind: EventLoaded, Duration: time.Since(start), ExpiresIn: s.remaining()})
	case err == nil:
		c.emit(Event{Kind: EventFetched, Duration: time.Since(start), ExpiresIn: s.remaining()})
	case errors.Is(err, ErrClosed), errors.Is(err, errElsewhere), caller.Err() != nil: // no fault of the source
	default:
		err = asError(c.provider(), err)
		c.hold(err, start)
		c.emit(Event{Kind: EventFailed, Err: err, Duration: time.Since(start)})
	}
	return s, err
}

// begin returns the context of a flight, which FetchTimeout and Close end.
func (c *Cache) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if c.underway == nil {
		c.underway = make(map[*context.CancelCauseFunc]bool)
	}
	c.underway[&cancel] = true
	c.working.Add(1)
	d := c.timeout()
	ctx, stop := context.WithTimeoutCause(ctx, d,
		fmt.Errorf("no token within FetchTimeout (%v): %w", d, context.DeadlineExceeded))
	return ctx, func() {
		stop()
		cancel(nil)
		c.mu.Lock()
		if delete(c.underway, &cancel); len(c.underway) == 0 {
			c.underway = nil
		}
		c.mu.Unlock()
		c.working.Done()
	}, nil
}

// obtain waits for a new token no longer than ctx allows. Sources and hooks
// that take no context may answer later still: the next flight takes up their
// answer instead of asking beside them, so calls do not pile up and no token
// is lost.
func (c *Cache) obtain(ctx context.Context, left *leftover, old *snapshot) (*snapshot, error) {
	for {
		asked := left.pending == nil
		if asked {
			left.pending = guard(func() (*snapshot, error) { return c.fetch(ctx, left, old) })
		}
		select {
		case r := <-left.pending:
			left.pending = nil
			switch {
			case ctx.Err() != nil && r.err != nil:
				return nil, context.Cause(ctx)
			case asked, r.err == nil && r.val.valid():
				return r.val, r.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fetch gets a new token and shows it to OnToken. What takes a context ends
// soon after it, so Close waits for that.
func (c *Cache) fetch(ctx context.Context, left *leftover, old *snapshot) (s *snapshot, err error) {
	if _, ok := c.Source.(ContextTokenSource); ok && c.enter() {
		defer c.working.Done()
	}
	if s = left.unreleased; !s.valid() {
		if c.Store == nil || c.singleUse() {
			s, err = c.ask(ctx, old)
		} else {
			s, err = c.share(ctx, old)
		}
		if err != nil {
			return nil, err
		}
	}
	if left.unreleased = s; c.OnToken != nil {
		if ctx.Err() != nil || !c.enter() {
			return nil, context.Cause(ctx)
		}
		defer c.working.Done()
		own := s.token
		if err := c.OnToken(ctx, &own); err != nil {
			return nil, fmt.Errorf("OnToken: %w", err)
		}
	}
	left.unreleased = nil
	return s, nil
}

// enter has Close wait for a c.working.Done, unless it has begun to wait.
func (c *Cache) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.working.Add(1)
	}
	return !c.closed
}

// publish makes s the current token, unless it is for one caller.
func (c *Cache) publish(s *snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.failure = nil
	c.minting.Store(!s.token.Expiry.IsZero() && s.remaining() <= 0)
	if !s.once {
		c.replace(s)
	}
	return nil
}

// ask asks the source, again where it failed for the moment.
func (c *Cache) ask(ctx context.Context, old *snapshot) (*snapshot, error) {
	for try := 1; ; try++ {
		start := time.Now()
		tok, err := sourceToken(ctx, c.Source, old)
		if err == nil {
			return c.snapshot(tok, start), nil
		}
		var e *Error
		err = asError(c.provider(), err)
		if errors.As(err, &e); !e.Temporary() || try == tries {
			return nil, err
		}
		pause := cmp.Or(e.RetryAfter, rand.N(retryDelay<<(try-1)))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
		old = nil // a refresh may fail for ever where a new token would not
	}
}

// sourceToken asks src for a token: to replace an earlier one where it refreshes,
// with the context where it takes one.
func sourceToken(ctx context.Context, src oauth2.TokenSource, earlier *snapshot) (tok *oauth2.Token, err error) {
	refresher, refreshes := src.(interface {
		Refresh(context.Context, *oauth2.Token) (*oauth2.Token, error)
	})
	withContext, takesContext := src.(ContextTokenSource)
	switch {
	case src == nil:
		err = errors.New("the field Source is not set")
	case refreshes && earlier != nil:
		own := earlier.token
		tok, err = refresher.Refresh(ctx, &own)
	case takesContext:
		tok, err = withContext.TokenContext(ctx)
	default:
		tok, err = src.Token()
	}
	if err == nil && (tok == nil || tok.AccessToken == "") {
		err = errors.New("the source returned neither a token nor an error")
	}
	return tok, err
}

func (c *Cache) timeout() time.Duration {
	if c.FetchTimeout > 0 {
		return c.FetchTimeout
	}
	return fetchTimeout
}

func (c *Cache) provider() string {
	if e := endpointOf(c.Source); e != nil {
		return e.name()
	}
	return ""
}

func (c *Cache) emit(e Event) {
	if c.OnEvent != nil {
		e.Provider = c.provider()
		c.OnEvent(e)
	}
}
