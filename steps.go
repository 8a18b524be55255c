package tokensource

// The steps of a refresh, from the outermost in. (hold stands in hold.go, share
// in store.go.)

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
	"golang.org/x/oauth2"
)

const (
	maxTries   = 3                      // within one refresh
	retryDelay = 200 * time.Millisecond // doubling, full jitter
)

// step gets a token newer than earlier, or any if that is nil. It returns
// earlier itself if the source returned that once more.
type step func(ctx context.Context, earlier *snapshot) (*snapshot, error)

// leftovers is what one flight leaves to the next.
type leftovers struct {
	late <-chan guard.Result[*snapshot] // an answer that FetchTimeout did not wait for
	kept *snapshot                      // a token that OnToken has not approved yet
}

// bound waits no longer than FetchTimeout. A source or hook that takes no
// context may answer later still: the next flight takes up that answer instead
// of asking beside it, so calls do not pile up and no token is lost. Close waits
// for what stops with its context: that is counted in working, unless nil.
func bound(timeout time.Duration, origin string, p *progress, left *leftovers, working *sync.WaitGroup, next step) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		for {
			asked := left.late == nil
			if asked {
				if working != nil {
					working.Add(1)
				}
				left.late = guard.Go(func() (*snapshot, error) {
					if working != nil {
						defer working.Done()
					}
					return next(ctx, earlier)
				})
			}
			select {
			case r := <-left.late:
				left.late = nil
				switch {
				case r.Err != nil && ctx.Err() != nil:
					return nil, timedOut(ctx, timeout, origin, p)
				case asked, r.Err == nil && r.Val.valid(time.Now()):
					return r.Val, r.Err
				}
			case <-ctx.Done():
				return nil, timedOut(ctx, timeout, origin, p)
			}
		}
	}
}

// timedOut says what there was to wait for.
func timedOut(ctx context.Context, timeout time.Duration, origin string, p *progress) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	text := fmt.Sprintf("no token within FetchTimeout (%v)", timeout)
	if origin != "" {
		text += " from " + origin
	}
	if last := p.err.Load(); last != nil {
		return fmt.Errorf("%s: %w; before that: %w", text, ctx.Err(), *last)
	}
	return fmt.Errorf("%s: %w", text, ctx.Err())
}

var errFromOnToken = errors.New("OnToken called the Cache, which waits for OnToken: use the token that it was given")

// approve shows a new token to OnToken. One that it refuses is kept and shown
// again, instead of asking for another.
func approve(provider string, left *leftovers, onToken func(context.Context, *oauth2.Token) error, next step) step {
	return func(ctx context.Context, earlier *snapshot) (s *snapshot, err error) {
		if s = left.kept; !s.valid(time.Now()) {
			if s, err = next(ctx, earlier); err != nil || s == earlier {
				return s, err
			}
		}
		if left.kept = s; s.single {
			left.kept = nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		own := s.own().token
		if err := onToken(ctx, &own); err != nil {
			return nil, &Error{Provider: provider, Err: fmt.Errorf("OnToken: %w", err)}
		}
		left.kept = nil
		return s, nil
	}
}

// callOnToken has a name that is found on the stack: nothing else shows that a
// call of the Cache comes from within the hook.
func callOnToken(ctx context.Context, hook func(context.Context, *oauth2.Token) error, tok *oauth2.Token) error {
	return hook(ctx, tok)
}

// retry asks again if a failure is temporary.
func retry(tries int, p *progress, next step) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		for try := 1; ; try++ {
			p.attempts.Add(1)
			s, err := next(ctx, earlier)
			if err == nil {
				return s, nil
			}
			p.err.Store(&err)
			var e *Error
			if !errors.As(err, &e) || !e.Temporary() || try >= tries {
				return nil, err
			}
			if e.Status == http.StatusTooManyRequests && e.RetryAfter <= 0 {
				return nil, err
			}
			pause := e.RetryAfter
			if pause <= 0 {
				pause = rand.N(retryDelay << (try - 1))
			}
			if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
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
// caches by itself.
func ask(src oauth2.TokenSource, about *facts, last *snapshot, early time.Duration) step {
	return func(ctx context.Context, earlier *snapshot) (*snapshot, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if earlier != nil && earlier.rejected.Load() {
			earlier = nil
		}
		start := time.Now()
		tok, err := sourceToken(markTokenRequest(ctx), src, earlier)
		if err != nil {
			return nil, asError(about.name, err)
		}
		s, err := newSnapshot(tok, start, time.Now(), early, about.single)
		switch {
		case err != nil:
			return nil, asError(about.name, err)
		case s.repeats(last):
			return last, nil
		}
		return s, nil
	}
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
