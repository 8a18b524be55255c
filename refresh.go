package tokensource

// A refresh: one flight at a time, its retries, what its failure means to the
// calls that follow.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	fetchTimeout = 30 * time.Second

	tries      = 3                      // within one refresh
	retryDelay = 200 * time.Millisecond // doubling, full jitter

	holdMin      = time.Second      // after a failed refresh: doubling
	holdMax      = 30 * time.Second // up to this,
	holdMaxAsked = 5 * time.Minute  // or as Retry-After says, up to this
)

// failure is shared by all calls until it is time for the next attempt.
type failure struct {
	err error
	backoff
}

// backoff is a pause that doubles from holdMin to holdMax.
type backoff struct {
	since, until time.Time
	delay        time.Duration
}

func (b backoff) next(now time.Time) backoff {
	delay := min(max(2*b.delay, holdMin), holdMax)
	return backoff{since: now, until: now.Add(shorten(delay)), delay: delay}
}

// flights of all caches, by address: a Group of its own would be the largest
// part of an idle Cache.
var flights singleflight.Group

var (
	errNoSource = errors.New("Cache.Source is not set")
	errNoToken  = errors.New("the source returned neither a token nor an error")
)

// fly joins the flight under way or starts one. A panic or Goexit inside must
// not reach singleflight, whose waiters would crash or hang on it.
func (c *Cache) fly(ctx context.Context) <-chan singleflight.Result {
	group, single := &flights, c.singleUse()
	if single {
		group = new(singleflight.Group) // to itself
	}
	return group.DoChan(fmt.Sprintf("%p", c), func() (any, error) {
		r := <-guard(func() (*snapshot, error) { return c.flight(ctx, single) })
		if r.err != nil {
			return nil, asError(c.provider(), r.err)
		}
		return r.val, nil
	})
}

func (c *Cache) singleUse() bool {
	s, ok := c.Source.(interface{ SingleUse() bool })
	return c.minting.Load() || ok && s.SingleUse()
}

func (c *Cache) flight(caller context.Context, single bool) (s *snapshot, err error) {
	start := time.Now()
	old := c.current.Load()
	switch {
	case single:
		old = nil
	case old != nil && start.UnixNano() < old.refresh:
		return old, nil // the flight before was faster
	}
	defer func() {
		if s == nil && old != nil {
			c.retryLater(caller, old)
		}
	}()
	ctx, end, err := c.begin(caller, single)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := c.held(ctx); err != nil {
		return nil, err
	}
	if s, err = c.obtain(ctx, old, single); err == nil {
		err = c.publish(s, single)
	}
	switch {
	case err == nil:
		kind := EventFetched
		if s.loaded {
			kind = EventLoaded
		}
		c.emit(Event{Kind: kind, Duration: time.Since(start), ExpiresIn: s.remaining()})
	case errors.Is(err, ErrClosed), errors.Is(err, errElsewhere), single && caller.Err() != nil: // no fault of the source
	default:
		err = asError(c.provider(), err)
		c.hold(err, start)
		c.emit(Event{Kind: EventFailed, Err: err, Duration: time.Since(start)})
	}
	return s, err
}

// begin returns the context of a flight: the first caller's values, nobody's
// cancellation, a timeout. A single-use token is of use to its caller only, so
// that flight ends with the caller.
func (c *Cache) begin(ctx context.Context, single bool) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	if !single {
		ctx = context.WithoutCancel(ctx)
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
func (c *Cache) obtain(ctx context.Context, old *snapshot, single bool) (*snapshot, error) {
	pending := &c.pending
	if single {
		pending = new(<-chan result[*snapshot])
	}
	for {
		asked := *pending == nil
		if asked {
			*pending = guard(func() (*snapshot, error) { return c.fetch(ctx, old, single) })
		}
		select {
		case r := <-*pending:
			*pending = nil
			switch {
			case ctx.Err() != nil && r.err != nil:
				return nil, context.Cause(ctx)
			case asked, r.err == nil && time.Now().UnixNano() < r.val.expiry:
				return r.val, r.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fetch gets a new token and shows it to OnToken.
func (c *Cache) fetch(ctx context.Context, old *snapshot, single bool) (s *snapshot, err error) {
	if !single {
		s = c.unreleased
	}
	if s == nil || time.Now().UnixNano() >= s.expiry {
		if s, err = c.getNew(ctx, old, single); err != nil {
			return nil, err
		}
	}
	if !single {
		c.unreleased = s
	}
	if c.OnToken != nil {
		if ctx.Err() != nil || !c.enter() {
			return nil, context.Cause(ctx)
		}
		defer c.working.Done()
		own := s.token
		if err := c.OnToken(ctx, &own); err != nil {
			return nil, fmt.Errorf("OnToken: %w", err)
		}
	}
	if !single {
		c.unreleased = nil
	}
	return s, nil
}

func (c *Cache) getNew(ctx context.Context, old *snapshot, single bool) (*snapshot, error) {
	// What takes a context ends soon after it, so Close waits for that.
	if _, ok := c.Source.(ContextTokenSource); ok && c.enter() {
		defer c.working.Done()
	}
	if c.Store == nil || single {
		return c.ask(ctx, old)
	}
	return c.share(ctx, old)
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
func (c *Cache) publish(s *snapshot, single bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.failure = nil
	s.once = s.once || single
	c.minting.Store(s.remaining() <= 0 && s.once)
	if !s.once {
		c.replace(s)
	}
	return nil
}

// ask asks the source, again where it failed for the moment.
func (c *Cache) ask(ctx context.Context, old *snapshot) (*snapshot, error) {
	for try := 1; ; try++ {
		start := time.Now()
		tok, err := c.askOnce(ctx, old)
		if err == nil {
			return c.snapshot(tok, start), nil
		}
		var e *Error
		err = asError(c.provider(), err)
		if errors.As(err, &e); !e.Temporary() || try == tries {
			return nil, err
		}
		pause := rand.N(retryDelay << (try - 1))
		if e.RetryAfter > 0 {
			pause = e.RetryAfter
		}
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

func (c *Cache) askOnce(ctx context.Context, old *snapshot) (tok *oauth2.Token, err error) {
	refresher, ok := c.Source.(interface {
		Refresh(context.Context, *oauth2.Token) (*oauth2.Token, error)
	})
	switch {
	case c.Source == nil:
		return nil, errNoSource
	case ok && old != nil:
		earlier := old.token
		tok, err = refresher.Refresh(ctx, &earlier)
	default:
		tok, err = sourceToken(ctx, c.Source)
	}
	if err == nil && (tok == nil || tok.AccessToken == "") {
		err = errNoToken
	}
	return tok, err
}

// sourceToken asks with the context where the source takes one.
func sourceToken(ctx context.Context, src oauth2.TokenSource) (*oauth2.Token, error) {
	if s, ok := src.(ContextTokenSource); ok {
		return s.TokenContext(ctx)
	}
	return src.Token()
}

// hold keeps a failure for the calls that follow. Attempts that ran side by
// side count once.
func (c *Cache) hold(err error, start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last backoff
	if c.failure != nil {
		last = c.failure.backoff
	}
	if start.Before(last.since) {
		return
	}
	now := time.Now()
	c.failure = &failure{err, last.next(now)}
	if e := (*Error)(nil); errors.As(err, &e) && e.RetryAfter > 0 {
		c.failure.until = now.Add(min(e.RetryAfter, holdMaxAsked))
	}
}

// held returns the last failure while it is too early for another attempt.
// Credentials that were rejected count until they change.
func (c *Cache) held(ctx context.Context) error {
	c.mu.Lock()
	f := c.failure
	c.mu.Unlock()
	if f == nil || !time.Now().Before(f.until) {
		return nil
	}
	var e *Error
	errors.As(f.err, &e)
	if p, ok := c.Source.(provider); ok && errors.Is(f.err, ErrCredentials) {
		r, err := await(ctx, func() (*tokenRequest, error) { return prepare(ctx, p) })
		if err == nil && r.fingerprint() != e.fingerprint {
			return nil
		}
	}
	copied := *e
	copied.RetryAfter = time.Until(f.until)
	if f.err != error(e) { // whatever the source wrapped around it stays
		copied.Err = &rewordedError{fmt.Sprint(e.Err), f.err}
	}
	c.emit(Event{Kind: EventHeld, Err: &copied})
	return &copied
}

// retryLater lets a token that could not be refreshed be tried again after the
// hold, or where another process was at it; until its expiry it serves.
func (c *Cache) retryLater(ctx context.Context, s *snapshot) {
	now := time.Now()
	at := now.Add(pollMax)
	c.mu.Lock()
	if c.failure != nil && c.failure.until.After(now) {
		at = c.failure.until
	}
	c.mu.Unlock()
	next := min(at.UnixNano(), s.expiry)
	s.next.Store(next)
	s.claimed.Store(false)
	c.schedule(ctx, s, next)
}

func (c *Cache) timeout() time.Duration {
	if c.FetchTimeout > 0 {
		return c.FetchTimeout
	}
	return fetchTimeout
}

func (c *Cache) provider() string {
	if p, ok := c.Source.(provider); ok {
		return p.name()
	}
	return ""
}

func (c *Cache) fault(format string, args ...any) error {
	return &Error{Provider: c.provider(), Err: fmt.Errorf(format, args...)}
}

func (c *Cache) emit(e Event) {
	if c.OnEvent != nil {
		e.Provider = c.provider()
		c.OnEvent(e)
	}
}
