package tokensource

// Close, and what it waits for.

import (
	"context"
	"time"
)

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
		c.fill(time.Now(), false) // which empties the pool
		for cancel := range c.more.cancels {
			(*cancel)(ErrClosed)
		}
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

// onClose makes Close cancel work that goes on beside the flight; c.mu is held.
func (c *Cache) onClose(cancel *context.CancelCauseFunc) {
	m := c.rare()
	if m.cancels == nil {
		m.cancels = map[*context.CancelCauseFunc]bool{}
	}
	m.cancels[cancel] = true
}
