package tokensource

// After a failure: how long the calls that follow share it before the source is
// asked again.

import (
	"context"
	"errors"
	"time"
)

const (
	holdMin      = time.Second      // after a failed refresh: doubling
	holdMax      = 30 * time.Second // up to this,
	holdMaxAsked = 5 * time.Minute  // or as Retry-After says, up to this
)

// backoff is a pause between attempts that doubles from holdMin to holdMax.
type backoff struct {
	since, until time.Time
	delay        time.Duration
	err          error     // what the last attempt failed with, for all calls until the next one
	token        *snapshot // the rejected one, to be removed from the Store
}

func (b *backoff) next(now time.Time, err error) *backoff {
	delay := holdMin
	if b != nil {
		delay = min(2*b.delay, holdMax)
	}
	return &backoff{since: now, until: now.Add(shorten(delay)), delay: delay, err: err}
}

// hold keeps a failure for the calls that follow. Attempts that ran side by
// side count once.
func (c *Cache) hold(err error, start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil && start.Before(c.failure.since) {
		return
	}
	now := time.Now()
	c.failure = c.failure.next(now, err)
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
	if p := endpointOf(c.Source); p != nil && errors.Is(f.err, ErrCredentials) {
		fingerprint, err := await(ctx, func() (uint64, error) { return p.fingerprint(ctx) })
		if err == nil && fingerprint != e.fingerprint {
			return nil
		}
	}
	copied := *e
	copied.RetryAfter = time.Until(f.until)
	if f.err != error(e) { // whatever the source wrapped around it stays
		copied.Err = f.err
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
