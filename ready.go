package tokensource

// Single-use tokens that are ready before they are asked for, so that a session
// start does not wait for a token request.

import (
	"context"
	"slices"
	"time"
)

const (
	readyIdle = time.Minute // without a call: none is fetched any more
	readyRest = 5           // a fifth of its life is left to the caller that takes a token
)

// pool is what no call has taken yet: flights under way and landed ones with their
// tokens, the oldest first. It is guarded by Cache.mu.
type pool struct {
	flights []*flight
	called  time.Time // by a call, last
}

// freshFor is how long a caller that takes the flight's token would still have time
// enough.
func (f *flight) freshFor(now time.Time) time.Duration {
	switch {
	case f.token == nil: // it is under way, or failed
		return 0
	case f.token.life == never:
		return never
	}
	return f.token.life - f.token.life/readyRest - f.token.age(now)
}

// takeReady hands out a ready token, nil if there is none, and has it replaced;
// c.mu is held.
func (c *Cache) takeReady(ctx context.Context, now time.Time) (s *snapshot) {
	p := &c.rare().pool
	p.called = now
	c.keepClient(ctx)
	if i := slices.IndexFunc(p.flights, func(f *flight) bool { return f.freshFor(now) > 0 }); i >= 0 {
		s = p.flights[i].token
		p.flights = slices.Delete(p.flights, i, i+1)
	}
	c.fill(now)
	return s
}

// fill begins flights for what the pool lacks, side by side, and sets the timer
// for the next look; c.mu is held. After a failure it tries as often as callers
// without a token would, and an idle program's tokens are only dropped in time.
func (c *Cache) fill(now time.Time) {
	p := &c.rare().pool
	c.stopTimer()
	p.flights = slices.DeleteFunc(p.flights, func(f *flight) bool {
		return c.closed || f.landed && f.freshFor(now) <= 0
	})
	next, ready := never, 0
	for _, f := range p.flights {
		if f.landed {
			next, ready = min(next, f.freshFor(now)), ready+1
		}
	}
	c.ready.Store(int32(ready))
	failed := c.failure.Load()
	hold := failed.left(now, false)
	idle := c.closed || elapsed(p.called, now) >= readyIdle
	if hold > 0 && !idle {
		next = min(next, hold)
	}
	for hold == 0 && !idle && len(p.flights) < c.Ready && (failed == nil || c.flight == nil) {
		f := c.newFlight(c.ownContext(), now, false)
		p.flights = append(p.flights, f)
		c.join(f)
	}
	if next < never {
		c.timer = time.AfterFunc(next, c.wake)
	}
}

// leave removes a flight that a call waits for. c.mu is held.
func (p *pool) leave(taken *flight) {
	p.flights = slices.DeleteFunc(p.flights, func(f *flight) bool { return f == taken })
}

// rejectReady forgets the ready tokens if the API rejected one that was taken, for
// it may have revoked all, or keeps them for now; c.mu is held.
func (c *Cache) rejectReady(now time.Time) EventKind {
	switch {
	case c.ready.Load() == 0:
		return ""
	case !c.mayReplace(now):
		return EventHeld
	}
	c.more.pool.flights = nil
	c.fill(now)
	return EventInvalidated
}
