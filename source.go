package tokensource

// The Source of a Cache or Transport: what it says about itself, and how it is
// asked. It is foreign code.

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
