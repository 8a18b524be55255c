package tokensource

// A refresh is a chain of steps, composed in newFlight. A flight runs it once
// for all its callers, and land makes what came of it current. The steps stand
// in steps.go, hold.go and store.go; when a refresh begins, in schedule.go.

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/tokensource-go/tokensource/internal/guard"
)

const defaultFetchTimeout = 30 * time.Second

// flight is one refresh for all callers that wait for it. A single-use token has
// one caller: its flight is that caller's, and ends with it.
type flight struct {
	group      singleflight.Group
	chain      step
	ctx        context.Context
	cancel     context.CancelCauseFunc
	values     *callerValues   // in ctx
	caller     context.Context // of a single-use flight
	start      time.Time
	earlier    *snapshot
	prior      *failure
	looks      bool // prior is held: only the Store is asked
	quiet      bool // a call from within OnEvent began it
	progress   progress
	unfinished *unfinished
	events     []Event // that the chain has to tell; guarded by Cache.mu
	landed     bool    // guarded by Cache.mu
}

// progress is how far a refresh has come.
type progress struct {
	attempts atomic.Int32
	err      atomic.Pointer[error] // of the last attempt
}

// newFlight makes the flight that a call begins; c.mu is held.
func (c *Cache) newFlight(ctx context.Context, now time.Time, waits bool) *flight {
	about, timeout := c.about(), c.FetchTimeout
	if timeout <= 0 {
		timeout = defaultFetchTimeout
	}
	f := &flight{start: now, prior: c.failure.Load(), values: valuesOf(ctx, waits), unfinished: new(unfinished)}
	if about.single {
		f.caller, f.values.Context = ctx, ctx
		c.onClose(&f.cancel)
	} else {
		c.flight, f.earlier = f, c.current.Load()
	}
	f.ctx, f.cancel = context.WithCancelCause(f.values)
	c.working.Add(1)

	valid, tries := f.earlier.valid(now), maxTries
	if f.prior != nil && !valid {
		tries = 1 // callers are failing, so attempts come often
	}
	if f.earlier == nil && c.more != nil {
		f.earlier = c.more.rejected
	}
	if !about.single && c.more != nil && c.more.unfinished != nil {
		f.unfinished, c.more.unfinished = c.more.unfinished, nil
	}
	bounded := func(next step) step {
		return bound(timeout, about.origin, &f.progress, f.unfinished, c.stoppable(), c.approve(f.unfinished, next))
	}
	var look step
	refresh := retry(tries, &f.progress, ask(c.Source, about, f.earlier, c.EarlyRefresh))
	if c.Store != nil && !about.single {
		sh := c.sharing(ctx, f, timeout, valid)
		refresh, look = sh.share(refresh), bounded(sh.look)
	}
	refresh = bounded(refresh)
	if pause := f.prior.left(now, valid); pause > 0 && look != nil && f.unfinished.late == nil {
		f.looks = true
		refresh = hold(f.prior.held(pause), look, refresh)
	}
	f.chain = refresh
	return f
}

// approve has OnToken called before the token is handed out.
func (c *Cache) approve(left *unfinished, next step) step {
	if c.OnToken == nil {
		return next
	}
	return approve(c.about().name, left, func(ctx context.Context, tok *oauth2.Token) error {
		if !c.begin() {
			return ErrClosed
		}
		defer c.end()
		c.inOnToken.Add(1)
		defer c.inOnToken.Add(-1)
		return callOnToken(ctx, c.OnToken, tok)
	}, next)
}

// join has a call wait for a flight, and the first one take off; c.mu is held,
// so the flight cannot land in between.
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
// same moment. The event is to be told after it.
func (c *Cache) land(f *flight, s *snapshot, err error) (*snapshot, Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	pause := new(postponed)
	switch {
	case c.closed:
		return nil, Event{}, ErrClosed
	case errors.As(err, &pause): // another process is at it
		f.earlier.unasked = 0 // this was no attempt
		c.postpone(f.earlier, pause.pause, now)
		return nil, Event{}, err
	case err != nil && f.looks:
		c.postpone(f.earlier, f.prior.left(now, true), now)
		return nil, Event{}, err
	case err != nil && f.caller != nil && f.caller.Err() != nil: // no fault of the source
		return nil, Event{}, err
	case err != nil:
		fail, ok := err.(*failure)
		if !ok {
			fail = f.prior.then(asError(c.about().name, err), f.start, now, e.Attempts)
		}
		e.Kind, e.Err = EventFailed, fail.err
		fail = fail.beside(c.failure.Load(), f.start, now)
		c.failure.Store(fail)
		c.postpone(f.earlier, fail.left(now, true), now)
		return nil, e, e.Err
	}
	e.Kind, e.ExpiresIn = EventFetched, s.remaining(now)
	c.failure.Store(nil)
	switch {
	case s.single:
		return s, e, nil
	case s == f.earlier:
		e.Kind = EventUnchanged
		c.current.Store(s)
		c.postpone(s, s.repeatPause(), now)
	case s.loaded:
		e.Kind = EventLoaded
		fallthrough
	default:
		c.replace(s)
	}
	if c.more != nil {
		c.more.rejected = nil
	}
	return s, e, nil
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
