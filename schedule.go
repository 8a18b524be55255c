package tokensource

// When the next refresh begins: a token in use has a timer, and a refresh that a
// failure or another process has put off begins later.

import (
	"context"
	"time"

	"github.com/tokensource-go/tokensource/internal/exchange"
	"github.com/tokensource-go/tokensource/internal/guard"
)

// A failing refresh is repeated in the background this often without a call in
// between: a Cache that is no longer called must not go on asking.
const maxUnasked = 3

// postponed is no failure: the refresh is to begin anew after a pause, since
// another process is at it, or since the Store fails and all would be at it.
type postponed struct{ pause time.Duration }

func (*postponed) Error() string { return "another process is refreshing the token" }

// markUsed notes that a call got s, not one from within OnEvent: from now on a timer
// begins its refresh. c.mu is held.
func (c *Cache) markUsed(ctx context.Context, s *snapshot, now time.Time, quiet bool) {
	if !s.used() && !quiet {
		s.unasked = 0
		s.refreshAge.Store(int64(s.refreshes()))
		c.keepClient(ctx)
		c.arm(s, now)
	}
}

// postpone has s, if it is the current token, refreshed after a pause; c.mu is
// held.
func (c *Cache) postpone(s *snapshot, pause time.Duration, now time.Time) {
	if s == nil || c.current.Load() != s {
		return
	}
	if !s.used() {
		s.unasked = min(s.unasked+1, maxUnasked)
	}
	s.refreshAt(s.age(now) + pause)
	if s.unasked < maxUnasked {
		c.arm(s, now)
	}
}

// repeatPause is the pause after one more refresh that gave the same token.
func (s *snapshot) repeatPause() time.Duration {
	pause := min(holdMin<<s.unchanged, holdMax)
	s.unchanged = min(s.unchanged+1, 10)
	return jittered(pause)
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
// any more or not yet: the machine may have been suspended, or its clock set.
func (c *Cache) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, s := time.Now(), c.current.Load()
	stopped := c.timer == nil
	if stopped || c.flight != nil || !s.valid(now) {
		return
	}
	if s.age(now) < s.refreshes() {
		c.arm(s, now)
		return
	}
	c.join(c.newFlight(c.ownContext(), now, false, false))
}

// late is the answer that the last flight's FetchTimeout did not wait for, nil if
// there is none; c.mu is held.
func (c *Cache) late() <-chan guard.Result[*snapshot] {
	if c.more == nil || c.more.unfinished == nil {
		return nil
	}
	return c.more.unfinished.late
}

// heldNow reports whether it is too early for an attempt, with the error for a
// call that has no token. Once a second it looks for what may end the hold: for
// other credentials in the background, into the Store by a flight. c.mu is held.
func (c *Cache) heldNow(now time.Time, valid bool) (*Error, bool) {
	f := c.failure.Load()
	pause, late := f.left(now, valid), c.late()
	arrived := len(late) > 0
	if pause == 0 || arrived {
		return nil, false
	}
	if valid {
		return nil, true
	}
	if c.shares() && late == nil && elapsed(c.rare().looked, now) >= lookInterval {
		c.more.looked = now
		return nil, false
	}
	canLook := f.fingerprint != 0 && c.about().origin != "" // a Source that is no Provider hides its credentials
	if canLook && elapsed(f.looked, now) >= lookInterval {
		f.looked = now
		c.lookAtCredentials(f)
	}
	return f.held(pause), true
}

// lookAtCredentials ends the hold of rejected credentials if there are others;
// c.mu is held. They may come from a slow place, so no call waits for them.
func (c *Cache) lookAtCredentials(f *failure) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c.onClose(&cancel)
	c.working.Add(1)
	go func() {
		defer c.end()
		ctx, stop := context.WithTimeout(ctx, defaultFetchTimeout)
		defer stop()
		now, err := guard.Await(ctx, func() (*exchange.Request, error) { return endpointOf(c.Source).request(ctx) })
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.more.cancels, &cancel)
		if err == nil && fingerprintOf(now) != f.fingerprint {
			c.failure.CompareAndSwap(f, nil)
		}
	}()
}
