package tokensource

// One refresh for all callers that wait for it: newFlight notes what is known
// when it begins and composes its steps, join has the first call run them and
// every call wait, land makes what came of it current. When a refresh begins is
// in cache.go for a call, else in schedule.go, where heldNow also answers most
// calls during a hold without a flight.

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
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
	earlier    *snapshot // the token that is to be replaced
	prior      *failure  // of the refresh before
	onlyLooks  bool      // prior is held: the chain asks the Store only
	quiet      bool      // a call from within OnEvent began it
	progress   progress
	unfinished *unfinished // of the flight before; a late step may write it after the landing
	events     []Event     // that the chain has to tell; guarded by Cache.mu
	landed     bool        // guarded by Cache.mu, as is
	token      *snapshot   // that it landed with
}

// progress is how far a refresh has come.
type progress struct {
	attempts atomic.Int32
	err      atomic.Pointer[error] // of the last attempt
}

// newFlight makes the flight that a call or a timer begins; waits says that a
// call waits for it. The flight counts in working until join's function ends. c.mu
// is held.
func (c *Cache) newFlight(ctx context.Context, now time.Time, waits, quiet bool) *flight {
	f := &flight{start: now, prior: c.failure.Load(), quiet: quiet, values: valuesOf(ctx, waits), unfinished: new(unfinished)}
	if private := c.about().single && f.prior == nil; private {
		f.values.Context = ctx
		c.onClose(&f.cancel)
	} else {
		c.flight, f.earlier = f, c.current.Load()
	}
	f.ctx, f.cancel = context.WithCancelCause(f.values)
	valid := f.earlier.valid(now)
	if m := c.more; m != nil && c.flight == f {
		f.earlier = cmp.Or(f.earlier, m.rejected)
		f.unfinished, m.unfinished = cmp.Or(m.unfinished, f.unfinished), nil
	}
	c.working.Add(1)
	f.chain = c.compose(ctx, f, now, valid)
	return f
}

// compose makes the chain of a flight: bound( approve( share( retry( ask )))), or
// hold( bound( approve( look ))) during a hold. valid says that callers have a token
// meanwhile. c.mu is held.
func (c *Cache) compose(ctx context.Context, f *flight, now time.Time, valid bool) step {
	about, timeout, tries := c.about(), c.fetchTimeout(), maxTries
	if f.prior != nil && !valid {
		tries = 1 // callers are failing, so attempts come often
	}
	bounded := func(next step) step {
		if c.OnToken != nil {
			next = approve(about.name, f.unfinished, c.callOnToken, next)
		}
		return bound(timeout, about.origin, &f.progress, f.unfinished, c.stoppable(), next)
	}
	chain := retry(tries, &f.progress, ask(c.Source, about, f.earlier, c.EarlyRefresh))
	if c.shares() {
		sh := c.sharing(ctx, f, timeout, valid)
		if pause := f.prior.left(now, valid); pause > 0 && f.unfinished.late == nil {
			f.onlyLooks = true
			return hold(f.prior.held(pause), bounded(sh.look))
		}
		chain = sh.share(chain)
	}
	return bounded(chain)
}

func (c *Cache) fetchTimeout() time.Duration {
	if c.FetchTimeout <= 0 {
		return defaultFetchTimeout
	}
	return c.FetchTimeout
}

// callOnToken has a name that is found on the stack: nothing else shows that a
// call of the Cache comes from within the hook.
func (c *Cache) callOnToken(ctx context.Context, tok *oauth2.Token) error {
	if !c.begin() {
		return ErrClosed
	}
	defer c.end()
	c.inOnToken.Add(1)
	defer c.inOnToken.Add(-1)
	return c.OnToken(ctx, tok)
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
		ctx := context.WithoutCancel(f.ctx)
		s, e, err := c.land(f, r.Val, r.Err)
		if !f.quiet {
			<-guard.Go(func() (any, error) { c.tell(ctx, append(f.events, e)...); return nil, nil })
		}
		return s, err
	})
}

// land ends a flight: what came of it is current, and the flight gone, in the
// same moment. The event is to be told after it; one without a Kind is not.
func (c *Cache) land(f *flight, s *snapshot, err error) (*snapshot, Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandoned := f.values.Err() != nil // by its only caller
	f.cancel(nil)
	f.landed = true
	if c.flight == f {
		c.flight = nil
		if f.unfinished.late != nil || f.unfinished.unapproved != nil {
			c.rare().unfinished = f.unfinished
		}
	} else {
		delete(c.more.cancels, &f.cancel)
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
		f.earlier.unasked = 0 // this was no attempt
		c.postpone(f.earlier, later.pause, now)
	case f.onlyLooks: // and there was nothing: the hold goes on
		c.postpone(f.earlier, f.prior.left(now, true), now)
	case !abandoned: // else it is no fault of the source
		err = c.fail(f, err, now)
		e.Kind, e.Err = EventFailed, err
	}
	if c.Ready > 0 {
		c.fill(now, f.quiet)
	}
	return s, e, err
}

// keep makes a token the current one, unless it serves one caller only, and says
// what the event is to tell; c.mu is held.
func (c *Cache) keep(f *flight, s *snapshot, now time.Time) (EventKind, error) {
	c.failure.Store(nil)
	if s.single {
		return EventFetched, nil
	}
	if c.more != nil {
		c.more.rejected = nil
	}
	if s == f.earlier {
		c.current.Store(s)
		c.postpone(s, s.repeatPause(), now)
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
		failed = c.failure.Load().then(asError(c.about().name, err), f.start, now, int(f.progress.attempts.Load()))
	}
	c.failure.Store(failed)
	c.postpone(f.earlier, failed.left(now, true), now)
	return failed.err
}

// report keeps an event until f has landed: OnEvent may ask for the token.
func (c *Cache) report(f *flight, e Event) {
	c.mu.Lock()
	landed := f.landed
	if !landed {
		f.events = append(f.events, e)
	}
	c.mu.Unlock()
	if landed && !f.quiet {
		c.tell(context.WithoutCancel(f.ctx), e)
	}
}
