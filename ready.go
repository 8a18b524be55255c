package tokensource

// Single-use tokens that are ready before they are asked for, so that a session
// start does not wait for a token request.

import (
	"context"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

const (
	readyIdle = time.Minute // without a call: none is fetched any more
	readyRest = 5           // a fifth of its life is left to the caller that takes a token
)

// pool holds tokens that no call has taken yet, the oldest first. It is guarded
// by Cache.mu.
type pool struct {
	tokens []*snapshot
	coming []*flight
	called time.Time
	timer  *time.Timer // looks again at what is too old or missing

	forgotten time.Time // when the API had rejected one that was taken
}

// freshFor is how long a caller that takes s would still have time enough.
func (s *snapshot) freshFor(now time.Time) time.Duration {
	return s.life - s.life/readyRest - s.age(now)
}

// takeReady hands out a ready token, nil if there is none, and has it replaced;
// c.mu is held.
func (c *Cache) takeReady(ctx context.Context, now time.Time, quiet bool) (s *snapshot) {
	if c.Ready <= 0 {
		return nil
	}
	p := &c.rare().pool
	if !quiet { // what OnEvent asks for is no use of its own
		p.called = now
	}
	c.keepClient(ctx)
	p.dropStale(now)
	for s == nil && len(p.tokens) > 0 {
		if p.tokens[0].spent.CompareAndSwap(false, true) { // else by a call that waited for it
			s = p.tokens[0]
		}
		p.tokens = p.tokens[1:]
	}
	c.fill(now, quiet)
	return s
}

func (p *pool) dropStale(now time.Time) {
	for len(p.tokens) > 0 && p.tokens[0].freshFor(now) <= 0 {
		p.tokens = p.tokens[1:]
	}
}

// fill begins flights for what the pool lacks, side by side, and sets the timer
// for the next look; c.mu is held. After a failure one flight at a time tries. An
// idle program's tokens are only looked at until they are too old.
func (c *Cache) fill(now time.Time, quiet bool) {
	p := &c.more.pool
	p.dropStale(now)
	c.ready.Store(int32(len(p.tokens)))
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	idle := elapsed(p.called, now) >= readyIdle
	if c.closed || idle && (len(p.tokens) == 0 || p.tokens[0].life == never) {
		return
	}
	failed := c.failure.Load()
	hold := failed.probe(now)
	if len(p.tokens) == 0 { // callers fail: as often as they would ask
		hold = failed.left(now, false)
	}
	for !idle && len(p.tokens)+len(p.coming) < c.Ready && hold == 0 && (failed == nil || len(p.coming) == 0) {
		c.addReady(quiet)
	}
	next := readyIdle
	if len(p.tokens) > 0 {
		next = min(next, p.tokens[0].freshFor(now))
	}
	if hold > 0 && !idle {
		next = min(next, hold)
	}
	p.timer = time.AfterFunc(next, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fill(time.Now(), false)
	})
}

// addReady begins a flight for the pool; c.mu is held.
func (c *Cache) addReady(quiet bool) {
	p := &c.more.pool
	f := c.newFlight(c.ownContext(), time.Now(), false, quiet)
	p.coming = append(p.coming, f)
	done := c.join(f)
	go func() {
		r := <-done
		c.mu.Lock()
		defer c.mu.Unlock()
		p.coming = slices.DeleteFunc(p.coming, func(other *flight) bool { return other == f })
		if s, _ := r.Val.(*snapshot); r.Err == nil && !c.closed && !s.spent.Load() && !s.issued.Before(p.forgotten) {
			p.tokens = append(p.tokens, s)
		}
		c.fill(time.Now(), false)
	}()
}

// noLongerReady has s replaced, if it is in the pool already: a call that waited
// for its flight has it. c.mu is held.
func (c *Cache) noLongerReady(s *snapshot, now time.Time, quiet bool) {
	p := &c.rare().pool
	if i := slices.Index(p.tokens, s); i >= 0 {
		p.tokens = slices.Delete(p.tokens, i, i+1)
		c.fill(now, quiet)
	}
}

// invalidateReady forgets the ready tokens if the API rejected one that was taken,
// for it may have revoked all. A token that was issued before that happened last
// says nothing about those that are ready now.
func (c *Cache) invalidateReady(rejected *oauth2.Token) {
	quiet := c.calledFromOnEvent()
	c.mu.Lock()
	kind, now, m := EventHeld, time.Now(), c.rare()
	known := !rejected.Expiry.IsZero() && rejected.Expiry.Before(m.pool.forgotten)
	if len(m.pool.tokens) == 0 || known {
		c.mu.Unlock()
		return
	}
	if c.failure.Load() == nil && m.rejections.left(now) == 0 {
		kind = EventInvalidated
		m.rejections = m.rejections.then(now)
		m.pool.tokens, m.pool.forgotten = nil, now
		c.fill(now, quiet)
	}
	c.mu.Unlock()
	c.tell(background, Event{Kind: kind})
}

// comingReady is a flight for the pool that has not landed, nil if there is
// none; c.mu is held.
func (c *Cache) comingReady() *flight {
	if c.more != nil {
		for _, f := range c.more.pool.coming {
			if !f.landed {
				return f
			}
		}
	}
	return nil
}

// empty forgets the ready tokens; c.mu is held.
func (p *pool) empty() {
	p.tokens = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}
