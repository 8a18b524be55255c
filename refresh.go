package tokensource

// One refresh for all callers that wait for it: newFlight notes what is known
// when it begins, join has the first call run its steps (steps.go) and every call
// wait, land makes what came of it current and says when the next one is due. A
// call begins it in cache.go, the timer of a token in use below; Close ends it.

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tokensource-go/tokensource/internal/guard"
)

const defaultFetchTimeout = 30 * time.Second

// flight is one refresh. That of a single-use token has one caller, and ends with
// it; during an outage it is shared like another, though one caller gets the token.
type flight struct {
	group      singleflight.Group
	chain      step
	ctx        context.Context
	cancel     context.CancelCauseFunc
	values     *callerValues // in ctx
	start      time.Time
	private    bool      // it has one caller, or is for the pool
	earlier    *snapshot // the token that is to be replaced
	prior      *failure  // of the refresh before
	onlyLooks  bool      // prior is held: the chain asks the Store only
	progress   progress
	unfinished *unfinished // of the flight before; a late step may write it after the landing
	landed     bool        // guarded by Cache.mu, as is
	token      *snapshot   // that it landed with,
	events     []Event     // and what is to be told then
}

// progress is how far a refresh has come.
type progress struct {
	attempts atomic.Int32
	err      atomic.Pointer[error] // of the last attempt
}

// newFlight makes the flight that a call or a timer begins; waits says that a
// call waits for it. The flight counts in working until join's function ends. c.mu
// is held.
func (c *Cache) newFlight(ctx context.Context, now time.Time, waits bool) *flight {
	f := &flight{start: now, prior: c.failure.Load(), unfinished: new(unfinished)}
	parent := background
	if f.private = c.about().single && f.prior == nil; f.private {
		parent = c.rare().beside
	} else {
		f.earlier = c.current.Load()
	}
	if f.prior != nil {
		f.unfinished = f.prior.unfinished
	}
	f.values = &callerValues{Context: withClient(parent, ctx)}
	if waits {
		f.values.caller = context.WithoutCancel(ctx)
	}
	f.ctx, f.cancel = context.WithCancelCause(f.values)
	f.chain = c.compose(ctx, f, now)
	if !f.private { // last, for a context is foreign code that may panic
		c.flight = f
	}
	c.working.Add(1)
	return f
}

// join has a call wait for a flight, and the first one run it; c.mu is held, so
// the flight cannot land in between.
func (c *Cache) join(f *flight) <-chan singleflight.Result {
	return f.group.DoChan("", func() (any, error) {
		defer c.end()
		// A panic or Goexit must not reach singleflight, whose callers would
		// crash or hang on it.
		r := <-guard.Go(func() (*snapshot, error) {
			s, err := f.chain(f.ctx, f.earlier)
			errors.As(err, new(*postponed)) // if its methods panic, then here
			return s, err
		})
		s, e, err := c.land(f, r.Val, r.Err)
		for _, e := range append(f.events, e) {
			c.report(f, e)
		}
		return s, err
	})
}

// report tells an event of a flight, which a crash of OnEvent must not end: once
// that has landed, for OnEvent may wait for what waits for the flight.
func (c *Cache) report(f *flight, e Event) {
	c.mu.Lock()
	if !f.landed {
		f.events = append(f.events, e)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	<-guard.Go(func() (any, error) { c.tell(context.WithoutCancel(f.ctx), e); return nil, nil })
}

// land ends a flight: what came of it is current, and the flight gone, in the
// same moment. The event is to be told after it; one without a Kind is not.
func (c *Cache) land(f *flight, s *snapshot, err error) (*snapshot, Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandoned := f.ctx.Err() != nil // by its only caller
	if last := f.progress.err.Load(); abandoned && err != nil && last != nil {
		abandoned, err = false, *last // the source had failed before
	}
	f.cancel(nil)
	f.landed = true
	if c.flight == f {
		c.flight = nil
	}
	now := time.Now()
	e := Event{Duration: elapsed(f.start, now), Attempts: int(f.progress.attempts.Load())}
	later, isLater := errors.AsType[*postponed](err)
	switch {
	case c.closed:
		return nil, Event{}, ErrClosed
	case err == nil:
		f.token = s
		e.Kind, e.Err = c.keep(f, s, now)
		e.ExpiresIn = s.remaining(now)
	case isLater:
		c.postpone(f.earlier, later.pause, now, true) // this was no attempt
	case f.onlyLooks: // and there was nothing: the hold goes on
		c.postpone(f.earlier, f.prior.left(now, true), now, false)
	case !abandoned: // else it is no fault of the source
		err = c.fail(f, err, now)
		e.Kind, e.Err = EventFailed, err
	}
	if c.Ready > 0 {
		c.fill(now)
	}
	return s, e, err
}

// keep makes a token the current one, unless it serves one caller only, and says
// what the event is to tell; c.mu is held.
func (c *Cache) keep(f *flight, s *snapshot, now time.Time) (EventKind, error) {
	c.failure.Store(nil)
	switch {
	case s.single:
		return EventFetched, nil
	case s == f.earlier: // the source may have another just before this one expires
		s.spent.Store(false)
		if age := s.age(now); age >= s.refreshes() {
			pause := jittered(min(max(holdMin, (s.expires()-age)/2), holdMax))
			if c.postpone(s, pause, now, false); age >= s.expires() { // no other is to be had, so calls get it
				s.refreshAge.Store(-int64(min(age+pause, s.life)))
			}
		}
		return EventUnchanged, errUnchanged
	}
	c.replace(s)
	if s.loaded {
		return EventLoaded, nil
	}
	return EventFetched, nil
}

// fail notes why there is no token, and when to try again. It returns the error
// for the calls. c.mu is held.
func (c *Cache) fail(f *flight, err error, now time.Time) error {
	failed, shared := err.(*failure) // made by share, which saved it for other processes
	if !shared {
		failed = f.failed(c.failure.Load(), asError(c.about().name, err), now)
	}
	if failed.unfinished = f.unfinished; c.about().single { // a late token of that kind had its callers
		failed.unfinished = new(unfinished)
	}
	c.failure.Store(failed)
	c.postpone(f.earlier, failed.left(now, true), now, failed.delay < lapseDelay)
	return failed.err
}

// failed is the failure that f ends with, after prior.
func (f *flight) failed(prior *failure, err error, now time.Time) *failure {
	return prior.then(err, f.start, now, int(f.progress.attempts.Load()))
}

// A failing refresh is repeated in the background without a call in between until
// its hold has grown to this: a Cache that is no longer called must not go on
// asking.
const lapseDelay = 8 * holdMin

// postponed is no failure: the refresh is to begin anew after a pause, since
// another process is at it, or since the Store fails and all would be at it.
type postponed struct{ pause time.Duration }

func (*postponed) Error() string { return "another process is refreshing the token" }

// markUsed notes that a call got s: from now on a timer begins its refresh. c.mu
// is held.
func (c *Cache) markUsed(ctx context.Context, s *snapshot, now time.Time) {
	if !s.used() {
		c.keepClient(ctx)
		s.refreshAge.Store(int64(s.refreshes()))
		c.arm(s, now)
	}
}

// postpone has s, if it is the current token, refreshed after a pause: by a timer if
// a call got it since the last attempt, or if unasked; c.mu is held.
func (c *Cache) postpone(s *snapshot, pause time.Duration, now time.Time, unasked bool) {
	if s != c.current.Load() || !s.valid(now) {
		return
	}
	armed := unasked || s.used()
	s.refreshAt(s.age(now) + pause)
	if armed {
		c.arm(s, now)
	}
}

// arm sets the timer for the next refresh of s, the current token; c.mu is held.
func (c *Cache) arm(s *snapshot, now time.Time) {
	c.stopTimer()
	if at := s.refreshes(); !c.Synchronous && at < s.expires() {
		c.timer = time.AfterFunc(at-s.age(now), c.wake)
	}
}

func (c *Cache) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// wake begins the refresh of the current token, unless there is nothing to do
// any more or not yet: the machine may have been suspended, or its clock set. Of a
// single-use source it fills the pool.
func (c *Cache) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, s := time.Now(), c.current.Load()
	stopped := c.timer == nil
	switch {
	case stopped:
		return
	case c.Ready > 0:
		c.fill(now)
	case s.valid(now) && s.age(now) < s.refreshes():
		c.arm(s, now)
	case s.valid(now) && c.flight == nil:
		c.join(c.newFlight(c.ownContext(), now, false))
	}
}

// Close stops background work and waits for it, and for the refresh lock to be
// given back; calls under way and later ones return [ErrClosed]. A source that
// takes no context cannot be stopped: its call is left to end by itself. Close
// must not be called from OnToken or OnEvent, for which it waits. A Cache may be
// dropped without Close: it stops asking soon after its last call. The error is
// always nil.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.replace(nil)
	if c.flight != nil {
		c.flight.cancel(ErrClosed)
	}
	if c.more != nil {
		c.more.stopBeside(ErrClosed)
		c.fill(time.Now()) // which empties the pool
	}
	c.mu.Unlock()
	c.working.Wait()
	return nil
}

// begin makes Close wait until end is called. It reports false if the Cache is
// closed.
func (c *Cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.working.Add(1)
	}
	return !c.closed
}

func (c *Cache) end() { c.working.Done() }
