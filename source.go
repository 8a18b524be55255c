package tokensource

// The Source of a Cache or Transport: what it says about itself, how it is asked,
// and with whose context. It is foreign code.

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/guard"
)

// facts are what the Source says about itself.
type facts struct {
	name   string
	origin string // of the token endpoint
	single bool
	err    error // in the configuration
}

var noFacts facts

// about returns the facts, for which the Source is asked once.
func (c *Cache) about() *facts {
	if f := c.facts.Load(); f != nil {
		return f
	}
	f := new(facts)
	if e := endpointOf(c.Source); e != nil {
		f.name, f.origin, f.single = e.name(), e.origin(), e.SingleUse
	}
	if s, ok := c.Source.(interface{ SingleUse() bool }); ok {
		r := <-guard.Go(func() (bool, error) { return s.SingleUse(), nil })
		if f.single = r.Val; r.Err != nil {
			f.err = fmt.Errorf("SingleUse of the source: %w", r.Err)
		}
	}
	if f.err == nil && c.Ready > 0 && (!f.single || c.Synchronous) {
		f.err = errors.New("the field Ready is for a single-use Source and a Cache that is not Synchronous: unset it")
	}
	if *f == noFacts {
		f = &noFacts // the same for many caches
	}
	c.facts.Store(f)
	return f
}

// stoppable counts the calls of the source. Close waits for them if the source
// ends with its context.
func (c *Cache) stoppable() *sync.WaitGroup {
	if _, ok := c.Source.(ContextTokenSource); ok {
		return &c.working
	}
	return new(sync.WaitGroup)
}

// sourceToken asks src for a token: to replace an earlier one if it refreshes,
// with the context if it takes one.
func sourceToken(ctx context.Context, src oauth2.TokenSource, earlier *snapshot) (tok *oauth2.Token, err error) {
	refresher, refreshes := src.(interface {
		Refresh(context.Context, *oauth2.Token) (*oauth2.Token, error)
	})
	withContext, takesContext := src.(ContextTokenSource)
	switch {
	case src == nil:
		err = errors.New("the field Source is not set")
	case refreshes && earlier != nil:
		own := earlier.own().token
		tok, err = refresher.Refresh(ctx, &own)
	case takesContext:
		tok, err = withContext.TokenContext(ctx)
	default:
		tok, err = src.Token()
	}
	if err == nil && (tok == nil || tok.AccessToken == "") {
		err = errors.New("the source returned neither a token nor an error")
	}
	return tok, err
}

// shares reports whether other processes may have the tokens, too.
func (c *Cache) shares() bool { return c.Store != nil && !c.about().single }

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
