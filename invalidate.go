package tokensource

// What an API rejects is forgotten, but not so often that rejections cause a
// storm of requests.

import (
	"context"
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
	if c.about().single {
		c.invalidateReady(rejected)
		return
	}
	c.mu.Lock()
	s := c.current.Load()
	if s == nil || s.token.AccessToken != rejected.AccessToken {
		c.mu.Unlock()
		return
	}
	kind, now, m := EventHeld, time.Now(), c.rare()
	if f := c.failure.Load(); f != nil {
		if f.pause > f.outagePause { // the token may be of no use: as if there were none
			suspect := *f
			suspect.pause = f.outagePause
			c.failure.Store(&suspect)
			c.postpone(s, suspect.left(now, true), now)
		}
	} else if noOther := s.unchanged > 0 && s.age(now) < s.refreshes(); !noOther && m.rejections.left(now) == 0 {
		kind = EventInvalidated
		m.rejections = m.rejections.then(now)
		c.replace(nil)
		s.spent.Store(true)
		m.rejected = s
	}
	c.mu.Unlock()
	c.tell(context.Background(), Event{Kind: kind, ExpiresIn: s.remaining(now)})
}

// backoff spaces the requests that rejected tokens cause.
type backoff struct {
	since time.Time
	pause time.Duration
	delay time.Duration
}

func (b *backoff) left(now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	return max(0, b.pause-elapsed(b.since, now))
}

// then doubles the pause, unless the last one has been over for long.
func (b *backoff) then(now time.Time) *backoff {
	delay := holdMin
	if b != nil && elapsed(b.since, now) <= b.pause+holdMax {
		delay = min(2*b.delay, holdMax)
	}
	return &backoff{since: now, pause: jittered(delay), delay: delay}
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
