package tokensource

// What a refresh keeps of a caller's context, and how Close ends what goes on.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// callerValues are the values of the call that began a flight, for as long as
// that call waits. A request's context may be another request's later, so
// afterwards only the HTTP client is left.
type callerValues struct {
	context.Context // has the HTTP client

	mu     sync.RWMutex
	caller context.Context // nil after that
}

func (v *callerValues) leave() {
	v.mu.Lock()
	v.caller = nil
	v.mu.Unlock()
}

func (v *callerValues) Value(key any) any {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if value := v.Context.Value(key); value != nil || v.caller == nil {
		return value
	}
	return v.caller.Value(key)
}

// withClient is parent with the oauth2.HTTPClient of a call's context.
func withClient(parent, ctx context.Context) context.Context {
	if client := ctx.Value(oauth2.HTTPClient); client != nil {
		return context.WithValue(parent, oauth2.HTTPClient, client)
	}
	return parent
}

// keepClient notes the oauth2.HTTPClient of a call, for the refreshes that no
// call begins; c.mu is held.
func (c *Cache) keepClient(ctx context.Context) {
	if own := withClient(background, ctx); own != background || c.more != nil {
		c.rare().own = own
	}
}

// ownContext is the context of a refresh that no call begins; c.mu is held.
func (c *Cache) ownContext() context.Context {
	if c.more == nil {
		return background
	}
	return c.more.own
}

type tokenRequest struct{}

// markTokenRequest marks the context of a request for a token, which a Transport
// underneath must not hold up for a token of its own.
func markTokenRequest(ctx context.Context) context.Context {
	return context.WithValue(ctx, tokenRequest{}, true)
}

func isTokenRequest(ctx context.Context) bool { return ctx.Value(tokenRequest{}) != nil }

func errLeft(ctx context.Context) error {
	return fmt.Errorf("the caller's context ended before there was a token: %w", ctx.Err())
}

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
		c.more.stopBeside(ErrClosed)
		c.fill(time.Now()) // which empties the pool
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
