package tokensource

// A token and its times. All of them are durations since it was issued, so one
// clock decides them, and a store can pass them to another machine.

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/extra"
)

const (
	safetyMargin = 10 * time.Second // before the provider's expiry, at most a tenth of the lifetime

	earlyFraction = 5               // the early window is a fifth of the lifetime
	earlyMax      = 5 * time.Minute // and no longer than this

	never = time.Duration(math.MaxInt64 / 2) // the lifetime of a token without an expiry

	maxLifetime = 24 * time.Hour // of a token that names no expiry: a longer ExpiresIn is taken for a mistake
)

var errExpired = errors.New("the token had expired when it arrived: check the source and this machine's clock")

type snapshot struct {
	token         oauth2.Token
	authorization string         // the header's value
	extra         map[string]any // the extra fields, if callers could change them through what they are handed

	issued     time.Time // its lifetime began
	life       time.Duration
	refreshAge atomic.Int64 // at which the next refresh begins; negative until a call gets the token
	spent      atomic.Bool  // it serves no further call: a single-use token has its caller, the API rejected any other
	single     bool         // it serves one caller only
	loaded     bool         // from the Store
}

// newSnapshot copies what a source returned for a request made at start.
func newSnapshot(tok *oauth2.Token, start, end time.Time, early time.Duration, single bool) (*snapshot, error) {
	s := copyToken(tok)
	s.issued = start
	s.life = never
	switch expiry := tok.Expiry.Round(0); {
	case !expiry.IsZero():
		s.life = min(expiry.Sub(start.Round(0)), never)
		// What Flinks' tokens look like through a wrapper that hides SingleUse.
		s.single = tok.ExpiresIn > 0 && s.life >= 0 && !expiry.After(end.Round(0))
	case tok.ExpiresIn > 0:
		s.life = seconds(tok.ExpiresIn)
		s.token.Expiry = start.Round(0).Add(s.life)
	}
	s.token.Expiry = s.token.Expiry.Round(0)
	if s.single = s.single || single; s.single && tok.ExpiresIn > 0 {
		s.life = seconds(tok.ExpiresIn) // its Expiry says when it was issued
	}
	if s.age(end) >= s.life {
		return nil, errExpired
	}
	s.plan(early)
	return s, nil
}

func seconds(n int64) time.Duration {
	return time.Duration(min(n, int64(maxLifetime/time.Second))) * time.Second
}

// plan works out the times from the lifetime. A token without an expiry has no
// early window: its timer would keep a Cache that was dropped in memory.
func (s *snapshot) plan(early time.Duration) {
	switch {
	case s.life == never:
		early = 0
	case early <= 0:
		early = min(s.life/earlyFraction, earlyMax)
	}
	s.refreshAt(s.life - jittered(min(early, s.life/2)))
}

// refreshAt sets the age at which the next refresh begins.
func (s *snapshot) refreshAt(age time.Duration) {
	s.refreshAge.Store(-int64(max(1, min(age, s.expires()))))
}

// refreshes is the age at which the next refresh begins.
func (s *snapshot) refreshes() time.Duration {
	return time.Duration(max(s.refreshAge.Load(), -s.refreshAge.Load()))
}

// used reports whether a call got the token since it was last refreshed in vain.
func (s *snapshot) used() bool { return s.refreshAge.Load() > 0 }

// expires is the age at which callers no longer get the token, unless its source
// returns it even after that: then they get it until the next refresh.
func (s *snapshot) expires() time.Duration { return s.life - min(safetyMargin, s.life/10) }

// jittered takes a random 0 to 20% off, so that many processes do not act at the
// same moment.
func jittered(d time.Duration) time.Duration { return d - rand.N(max(d/5, 0)+1) }

// elapsed is the time since t, by the clock that says more: the wall clock goes
// on while a machine is suspended, the monotonic clock when the other is set
// back.
func elapsed(t, now time.Time) time.Duration {
	return max(now.Sub(t), time.Duration(now.UnixNano()-t.UnixNano()))
}

func (s *snapshot) age(now time.Time) time.Duration { return elapsed(s.issued, now) }

// valid reports whether there is a token that callers may still get.
func (s *snapshot) valid(now time.Time) bool {
	return s != nil && !s.spent.Load() && s.age(now) < max(s.expires(), s.refreshes())
}

// remaining is the time to the provider's expiry, 0 if there is none or it is
// past.
func (s *snapshot) remaining(now time.Time) time.Duration {
	if s.life == never {
		return 0
	}
	return max(0, s.life-s.age(now))
}

// repeats reports whether s is the last token once more, from a source that
// caches by itself. One that lasts longer by a tenth was prolonged.
func (s *snapshot) repeats(last *snapshot) bool {
	return last != nil && s.token.AccessToken == last.token.AccessToken &&
		s.token.Expiry.Before(last.token.Expiry.Add(last.life/10))
}

// copyToken keeps the token's text once, within the header's value.
func copyToken(tok *oauth2.Token) *snapshot {
	header := tok.Type() + " " + tok.AccessToken
	s := &snapshot{token: *tok, authorization: header}
	s.token.AccessToken = header[len(header)-len(tok.AccessToken):]
	if fields := extra.Of(tok); extra.Shared(fields) {
		s.extra = extra.Copy(fields)
		s.token = *s.token.WithExtra(s.extra)
	}
	return s
}

// own is a copy of s whose token is the caller's, extra fields included.
func (s *snapshot) own() *snapshot {
	if s == nil || s.extra == nil { // they cannot be changed
		return s
	}
	return &snapshot{token: *s.token.WithExtra(extra.Copy(s.extra))}
}
