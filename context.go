package tokensource

// What a refresh keeps of a caller's context.

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/oauth2"
)

// callerValues are the values of the call that began a flight, for as long as
// that call waits. A request's context may be another request's later, so
// afterwards only the HTTP client is left.
type callerValues struct {
	context.Context // whose end is the flight's: the background, which has none, or a single-use flight's caller
	client          *http.Client

	mu     sync.RWMutex
	caller context.Context
}

func valuesOf(ctx context.Context, waits bool) *callerValues {
	v := &callerValues{Context: background, client: clientOf(ctx)}
	if waits {
		v.caller = context.WithoutCancel(ctx)
	}
	return v
}

func clientOf(ctx context.Context) *http.Client {
	client, _ := ctx.Value(oauth2.HTTPClient).(*http.Client)
	return client
}

func (v *callerValues) leave() {
	v.mu.Lock()
	v.caller = nil
	v.mu.Unlock()
}

func (v *callerValues) Value(key any) any {
	v.mu.RLock()
	defer v.mu.RUnlock()
	switch {
	case v.caller != nil:
		return v.caller.Value(key)
	case key == oauth2.HTTPClient && v.client != nil:
		return v.client
	}
	return nil
}

// keepClient notes the oauth2.HTTPClient of a call, for the refreshes that no
// call begins; c.mu is held.
func (c *Cache) keepClient(ctx context.Context) {
	if client := clientOf(ctx); client != nil || c.more != nil {
		c.rare().client = client
	}
}

// ownContext is the context of a refresh that no call begins; c.mu is held.
func (c *Cache) ownContext() context.Context {
	if c.more == nil || c.more.client == nil {
		return background
	}
	return context.WithValue(background, oauth2.HTTPClient, c.more.client)
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
