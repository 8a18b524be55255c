package tokensource

// What an API rejects is forgotten, but not so often that rejections cause a
// storm of requests.

import (
	"hash/maphash"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

// Invalidate forgets a token that the API rejected, so that the next call gets
// another. A token that is no longer the current one is ignored: many callers
// rejecting one token cause one request.
//
// If one replacement after the other is rejected, the cause is not the token.
// Replacements are then 1 s apart, doubling to 30 s, and until the next one is
// due the rejected token stays, for it may still serve other requests. It also
// stays while its refresh is failing: there is no other. Of a single-use source
// the tokens that are Ready are forgotten, by the same rules.
func (c *Cache) Invalidate(rejected *oauth2.Token) {
	if rejected == nil {
		return
	}
	single := c.about().single
	c.mu.Lock()
	var e Event
	now, s := time.Now(), c.current.Load()
	switch {
	case single:
		e.Kind = c.rejectReady(now)
	case s != nil && !s.spent.Load() && s.token.AccessToken == rejected.AccessToken:
		e.Kind, e.ExpiresIn = c.reject(s, now), s.remaining(now)
	}
	c.mu.Unlock()
	c.tell(background, e)
}

// reject forgets the current token, or keeps it for now; c.mu is held.
func (c *Cache) reject(s *snapshot, now time.Time) EventKind {
	if c.mayReplace(now) {
		s.spent.Store(true)
		s.refreshAt(s.refreshes()) // unused, so that no call finds it
		c.stopTimer()
		return EventInvalidated
	}
	if f := c.failure.Load(); f != nil && f.pause > f.outagePause { // the token may be of no use: as if there were none
		suspect := *f
		suspect.pause = f.outagePause
		c.failure.Store(&suspect)
		c.postpone(s, suspect.left(now, true), now, false)
	}
	return EventHeld
}

// mayReplace reports whether a rejected token may be replaced now: not while there is
// no other. Pauses grow from one replacement to the next, until the last one has been
// over for long. c.mu is held.
func (c *Cache) mayReplace(now time.Time) bool {
	m := c.rare()
	last := m.rejections
	if c.failure.Load() != nil || last.left(now) > 0 {
		return false
	}
	if elapsed(last.last, now) > last.pause+holdMax {
		last = backoff{}
	}
	m.rejections = last.then(now)
	return true
}

// replace makes s the current token; c.mu is held.
func (c *Cache) replace(s *snapshot) {
	c.stopTimer()
	if old := c.current.Load(); old != nil {
		copy(c.handed[1:], c.handed[:])
		c.handed[0] = hashOf(old.token.AccessToken)
	}
	c.current.Store(s)
}

// handedOut reports whether a token is the current one, or one of the last few.
// It compares keyed hashes, so the time it takes tells nothing about them.
func (c *Cache) handedOut(token string) bool {
	h := hashOf(token)
	if s := c.current.Load(); s != nil && hashOf(s.token.AccessToken) == h {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.handed[:], h)
}

func hashOf(token string) uint64 { return maphash.String(fingerprintSeed, token) }
