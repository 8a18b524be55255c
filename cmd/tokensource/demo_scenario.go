package main

// What happens when. All moments are fractions of a token's lifetime, chosen so
// that both libraries meet both faults whatever the lifetime:
//
//	0      every lane gets its first token
//	0.3    all tokens are revoked; the Cache gets new ones
//	0.75   the token endpoints begin to answer 503
//	0.8+   the Cache's early window opens (0.5 after 0.3): its refresh fails
//	0.9    x/oauth2's first token is used up: its refresh fails
//	0.95   the token endpoints answer again
//	1.2    the Cache's token of 0.3 would be used up
//
// A refresh that meets a 503 comes again 1 s later (Retry-After), which is
// before 1.2 if the lifetime is 5 s or more.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

const (
	tokenDelay = 100 * time.Millisecond // a token request's, as over the Internet
	retryAfter = time.Second            // the least that Retry-After can say
)

type scenario struct {
	Duration time.Duration `json:"duration"`
	Lifetime time.Duration `json:"lifetime"`
	Workers  int           `json:"workers"`
	Rate     float64       `json:"rate"`

	startSandbox startSandbox
}

func (s *scenario) check() error {
	switch {
	case s.Lifetime < 5*time.Second || s.Lifetime%time.Second != 0:
		return usagef("--lifetime must be whole seconds, at least 5s")
	case s.Duration < s.Lifetime*3/2 || s.Duration > time.Hour:
		return usagef("--duration must be between %v (one and a half lifetimes) and 1h", s.Lifetime*3/2)
	case s.Workers < 1 || s.Workers > 1000:
		return usagef("--workers must be 1 to 1000")
	case !(s.Rate >= 0.1 && s.Rate <= 1000):
		return usagef("--rate must be 0.1 to 1000")
	}
	return nil
}

func (s *scenario) at(fraction float64) time.Duration {
	return time.Duration(fraction * float64(s.Lifetime))
}

func (s *scenario) revocation() time.Duration           { return s.at(0.3) }
func (s *scenario) outage() (from, until time.Duration) { return s.at(0.75), s.at(0.95) }
func (s *scenario) earlyWindow() time.Duration          { return s.Lifetime / 2 }  // the most that a Cache allows
func (s *scenario) margin() time.Duration               { return s.Lifetime / 10 } // a Cache's, for lifetimes this short
func (s *scenario) interval() time.Duration             { return time.Duration(float64(time.Second) / s.Rate) }

// patience is longer than anything can take after a run's end: x/oauth2's
// callers at Flinks queue, tokenDelay for each worker.
func (s *scenario) patience() time.Duration {
	return 30*time.Second + 10*tokenDelay*time.Duration(s.Workers)
}

var errSlow = errors.New("the demo did not come to its end: requests hang, or the machine is far too busy")

// run lets the contenders work through the scenario, all at the same time, and
// closes them.
func (s *scenario) run(parent context.Context, live *progress, contenders []*contender) error {
	for _, c := range contenders {
		defer c.close()
	}
	ctx, cancel := context.WithTimeoutCause(parent, s.Duration+s.patience(), errSlow)
	defer cancel()

	live.say("%s", s)
	var first sync.WaitGroup
	for _, c := range contenders {
		for _, l := range c.lanes {
			first.Go(func() { l.request(ctx) })
		}
	}
	first.Wait()

	live.start(func() string { return numbers(contenders) })
	start := time.Now()
	goOn := func(next time.Time) bool { return next.Before(start.Add(s.Duration)) }
	var work sync.WaitGroup
	for _, c := range contenders {
		for _, l := range c.lanes {
			for i := range s.Workers {
				// Spread over the interval, so that the rate is even.
				begin := start.Add(s.interval() * time.Duration(i) / time.Duration(s.Workers))
				work.Go(func() { l.work(ctx, begin, s.interval(), goOn) })
			}
		}
	}
	work.Go(func() { s.conduct(ctx, contenders, start, live) })
	work.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// conduct lets the faults happen.
func (s *scenario) conduct(ctx context.Context, contenders []*contender, start time.Time, live *progress) {
	each := func(at time.Duration, what string, f func(*lane)) {
		select {
		case <-time.After(time.Until(start.Add(at))):
		case <-ctx.Done():
			return
		}
		for _, c := range contenders {
			for _, l := range c.lanes {
				f(l)
			}
		}
		live.say("%4.1fs  %s", at.Seconds(), what)
	}
	from, until := s.outage()
	each(s.revocation(), "every token is revoked", (*lane).revoke)
	each(from, "the token endpoints answer 503", (*lane).beginOutage)
	each(until, "the token endpoints work again", (*lane).endOutage)
}

func (s *scenario) String() string {
	return fmt.Sprintf("%d workers for each of 4 providers, %g requests a second each, tokens that live %v",
		s.Workers, s.Rate, s.Lifetime)
}

// slow and down are what the token endpoints do.
var (
	slow = sandbox.Fault{Delay: tokenDelay}
	down = sandbox.Fault{
		Delay:  tokenDelay,
		Status: http.StatusServiceUnavailable,
		Header: http.Header{"Retry-After": {fmt.Sprint(retryAfter.Seconds())}},
	}
)
