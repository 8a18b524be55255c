package tokensource

// The calls after a failure share it for a while, before the source is asked
// again. heldNow answers most of them without a flight; the step hold is for one
// that looks into the Store.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tokensource-go/tokensource/internal/exchange"
	"github.com/tokensource-go/tokensource/internal/guard"
)

const (
	// While a valid token serves the callers, a hold doubles between these.
	holdMin = time.Second
	holdMax = 30 * time.Second

	// A Retry-After wins up to this, whether there is a token or not.
	retryAfterMax = 5 * time.Minute

	// Without a token, callers fail until the next attempt: after 1 s, then 1 to
	// 2 s apart in the first minute of an outage, then 4 to 5 s.
	outageHold     = 2 * time.Second
	outageFresh    = time.Minute
	longOutageHold = 5 * time.Second

	// How often a hold looks for what may end it: other credentials, another
	// process's token.
	lookInterval = time.Second
)

// backoff spaces attempts: the pauses double.
type backoff struct {
	last  time.Time // the attempt ended
	delay time.Duration
	pause time.Duration // delay, jittered
}

func (b backoff) left(now time.Time) time.Duration { return max(0, b.pause-elapsed(b.last, now)) }

func (b backoff) then(now time.Time) backoff {
	delay := min(max(holdMin, 2*b.delay), holdMax)
	return backoff{last: now, delay: delay, pause: jittered(delay)}
}

// failure is why the last refresh failed, and the pause until the next one. It
// is an error, so that a step can return it.
type failure struct {
	err         error         // with an *Error in its chain
	first       time.Time     // the outage began
	backoff                   // while there is a valid token
	outagePause time.Duration // without one

	unfinished *unfinished // of the flight that failed
	looked     time.Time   // for what may end the hold; guarded by Cache.mu
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// then is the failure after f, which is nil after a success. Attempts that ran side
// by side count as one, and the longer Retry-After holds for both.
func (f *failure) then(err error, start, now time.Time, tries int) *failure {
	prior := failure{first: start}
	if f != nil {
		prior = *f
	}
	beside := start.Before(prior.last)
	if beside {
		prior.delay /= 2 // which then doubles
	}
	n := &failure{err: err, first: prior.first, backoff: prior.backoff.then(now), looked: prior.looked}
	switch {
	case elapsed(n.first, now) >= outageFresh:
		n.outagePause = longOutageHold - rand.N(longOutageHold/5)
	case tries > 1: // several requests just now: one a second on average
		n.outagePause = outageHold
	case f == nil || beside:
		n.outagePause = holdMin
	default:
		n.outagePause = outageHold - rand.N(outageHold-holdMin)
	}
	if e, _ := errors.AsType[*Error](err); e.RetryAfter > 0 {
		n.pause = min(e.RetryAfter, retryAfterMax)
		n.outagePause = n.pause
	}
	if beside {
		n.pause = max(n.pause, f.left(now, true))
		n.outagePause = max(n.outagePause, f.left(now, false))
	}
	return n
}

// left is the time to the next attempt, 0 if that may begin. A nil failure has
// none left.
func (f *failure) left(now time.Time, valid bool) time.Duration {
	switch {
	case f == nil:
		return 0
	case valid:
		return f.backoff.left(now)
	}
	return backoff{last: f.last, pause: f.outagePause}.left(now)
}

// held is the failure as a call during the hold gets it.
func (f *failure) held(left time.Duration) *Error {
	e, _ := errors.AsType[*Error](f.err)
	copied := *e
	copied.RetryAfter = left
	if f.err != error(e) { // keep what the source wrapped around it
		copied.Err = f.err
	}
	return &copied
}

// hold answers with a failure while it is too early for another attempt, unless
// look finds a token that another process got meanwhile.
func hold(held error, look step) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		if s, err := look(ctx, earlier); err == nil && s != nil {
			return s, nil
		}
		return nil, held
	}
}

// heldNow is the error for a call without a token if it is too early for an attempt,
// else nil. For such a call it looks once a second for what may end the hold: for other
// credentials in the background, into the Store by a flight. c.mu is held.
func (c *Cache) heldNow(now time.Time, valid bool) error {
	f := c.failure.Load()
	pause := f.left(now, valid)
	if pause == 0 || len(f.unfinished.late) > 0 {
		return nil
	}
	if !valid && elapsed(f.looked, now) >= lookInterval {
		f.looked = now
		c.lookAtCredentials(f)
		if c.shares() && f.unfinished.late == nil {
			return nil
		}
	}
	return f.held(pause)
}

// lookAtCredentials ends the hold of rejected credentials if there are others;
// c.mu is held. They may come from a slow place, so no call waits for them.
func (c *Cache) lookAtCredentials(f *failure) {
	rejected, _ := errors.AsType[*Error](f.err)
	isProvider := c.about().origin != "" // any other Source hides its credentials
	if !isProvider || rejected.fingerprint == 0 || !errors.Is(f.err, ErrCredentials) {
		return
	}
	ctx, stop := context.WithTimeout(c.rare().beside, defaultFetchTimeout)
	c.working.Add(1)
	go func() {
		defer c.end()
		defer stop()
		now, err := guard.Await(ctx, func() (*exchange.Request, error) { return endpointOf(c.Source).request(ctx) })
		if err == nil && fingerprintOf(now) != rejected.fingerprint {
			c.failure.CompareAndSwap(f, nil)
		}
	}()
}
