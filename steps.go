package tokensource

// The steps of a refresh: their chain, then each from the outermost in. Two live
// with their subject: hold in hold.go, share in store.go.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/guard"
)

const (
	maxTries   = 3                      // within one refresh
	retryDelay = 200 * time.Millisecond // doubling, full jitter
)

// step gets a token newer than earlier, or any if that is nil. It returns
// earlier itself if the source returned that once more.
type step func(ctx context.Context, earlier *snapshot) (*snapshot, error)

// compose makes the chain of a flight: bound( approve( share( retry( ask )))), or
// hold( bound( approve( look ))) during a hold. c.mu is held.
func (c *Cache) compose(ctx context.Context, f *flight, now time.Time) step {
	about, timeout, tries := c.about(), cmp.Or(max(c.FetchTimeout, 0), defaultFetchTimeout), maxTries
	valid := f.earlier.valid(now) // so callers have a token meanwhile
	if f.prior != nil && !valid {
		tries = 1 // callers are failing, so attempts come often
	}
	pause := f.prior.left(now, valid)
	until := now.Add(timeout)
	if end, ok := ctx.Deadline(); ok && f.private && end.Before(until) { // its only caller leaves then
		until = end
	}
	next := retry(tries, until, &f.progress, ask(c.Source, about, f.earlier, c.EarlyRefresh))
	if c.shares() {
		sh := c.sharing(ctx, f, timeout, valid)
		if f.onlyLooks = pause > 0 && f.unfinished.late == nil; f.onlyLooks {
			next = sh.look
		} else {
			next = sh.share(next)
		}
	}
	if c.OnToken != nil {
		next = approve(about.name, f.unfinished, c.callOnToken, next)
	}
	next = bound(timeout, about.origin, &f.progress, f.unfinished, c.stoppable(), next)
	if f.onlyLooks {
		next = hold(f.prior.held(pause), next)
	}
	return next
}

// unfinished is what one flight leaves to the next.
type unfinished struct {
	late       <-chan guard.Result[*snapshot] // an answer that FetchTimeout did not wait for
	answered   time.Time                      // when that came; set before it is sent
	unapproved *snapshot                      // a token that OnToken has not approved yet
}

// bound waits no longer than FetchTimeout. A source or hook that takes no
// context may answer later still: the next flight takes up that answer instead
// of asking beside it, so calls do not pile up, and neither a token nor a
// Retry-After is lost. Close waits for what stops with its context: that is counted
// in working.
func bound(timeout time.Duration, from string, p *progress, kept *unfinished, working *sync.WaitGroup, next step) step {
	if from != "" {
		from = " from " + from
	}
	tooLate := fmt.Errorf("no token within FetchTimeout (%v)%s: %w", timeout, from, context.DeadlineExceeded)
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, tooLate)
		defer cancel()
		for {
			asks := kept.late == nil
			if asks {
				working.Add(1)
				kept.late = guard.Go(func() (*snapshot, error) {
					defer working.Done()
					defer func() { kept.answered = time.Now() }()
					return next(ctx, earlier)
				})
			}
			select {
			case r := <-kept.late:
				kept.late = nil
				if r.Err != nil && ctx.Err() != nil {
					return nil, p.ended(ctx)
				}
				usable := r.Err == nil && r.Val.valid(time.Now())
				e, ok := errors.AsType[*Error](r.Err)
				saysWhen := ok && e.RetryAfter > elapsed(kept.answered, time.Now())
				if asks || usable || saysWhen { // else it is a late answer of no use: ask anew
					return r.Val, r.Err
				}
			case <-ctx.Done():
				return nil, p.ended(ctx)
			}
		}
	}
}

// ended is the error of a refresh whose context has ended. It says what there was to
// wait for, without asking the source, which may be what hangs.
func (p *progress) ended(ctx context.Context) error {
	if last := p.err.Load(); last != nil {
		return fmt.Errorf("%w; before that: %w", context.Cause(ctx), *last)
	}
	return context.Cause(ctx)
}

// approve shows a new token to OnToken. One that it refuses is kept and shown
// again, instead of asking for another.
func approve(provider string, kept *unfinished, onToken func(context.Context, *oauth2.Token) error, next step) step {
	return func(ctx context.Context, earlier *snapshot) (s *snapshot, err error) {
		if s = kept.unapproved; !s.valid(time.Now()) {
			if s, err = next(ctx, earlier); err != nil || s == earlier {
				return s, err
			}
		}
		if kept.unapproved = s; s.single {
			kept.unapproved = nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		own := s.own().token
		if err := onToken(ctx, &own); err != nil {
			return nil, &Error{Provider: provider, Err: fmt.Errorf("OnToken: %w", err)}
		}
		kept.unapproved = nil
		return s, nil
	}
}

// retry asks again if a failure is temporary and there is time. Each that next
// returns has an *Error in its chain.
func retry(tries int, until time.Time, p *progress, next step) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		for try := 1; ; try++ {
			p.attempts.Add(1)
			s, err := next(ctx, earlier)
			if err == nil {
				return s, nil
			}
			if ctx.Err() == nil {
				p.err.Store(&err)
			}
			e, _ := errors.AsType[*Error](err)
			limited := e.Status == http.StatusTooManyRequests && e.RetryAfter <= 0
			if !e.Temporary() || limited || try >= tries {
				return nil, err
			}
			pause := cmp.Or(max(e.RetryAfter, 0), rand.N(retryDelay<<(try-1)))
			if time.Until(until) <= pause {
				return nil, err
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, err
			}
			earlier = nil // a refresh may go on failing when a new token would not
		}
	}
}

// ask calls the source and works out the token's times. last is the token that
// the source returned before, whose times stay if it returns that again: it
// caches by itself. Each failure has an *Error in its chain.
func ask(src oauth2.TokenSource, about *facts, last *snapshot, early time.Duration) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		if ctx.Err() != nil {
			return nil, asError(about.name, context.Cause(ctx))
		}
		if earlier != nil && earlier.spent.Load() {
			earlier = nil
		}
		start := time.Now()
		tok, err := sourceToken(markTokenRequest(ctx), src, earlier)
		var s *snapshot
		if err == nil {
			s, err = newSnapshot(tok, start, time.Now(), early, about.single)
		}
		switch {
		case err != nil:
			return nil, asError(about.name, err)
		case s.repeats(last):
			return last, nil
		}
		return s, nil
	}
}
