package tokensource

// What no caller can see: when the early window of the current token opens, and
// what the token's times look like to a machine that was suspended.

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// WindowOpens is when the current token is to be refreshed.
func WindowOpens(c *Cache) time.Time {
	s := c.current.Load()
	return s.issued.Add(s.refreshes())
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// setClock has the clock say d more than before, to all that c compares it
// with. The timer, which runs by the monotonic clock, stays where it was.
func setClock(c *Cache, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.current.Load(); s != nil {
		s.issued = s.issued.Add(-d)
	}
	if f := c.failure.Load(); f != nil {
		moved := *f
		moved.first, moved.last = f.first.Add(-d), f.last.Add(-d)
		c.failure.Store(&moved)
	}
	if c.more != nil && c.more.rejections != nil {
		c.more.rejections.since = c.more.rejections.since.Add(-d)
	}
}

// opentdf#1854, cloud-sql-proxy#1223: after a suspension the monotonic clock has
// stood still while the wall clock went on, and a token long expired is taken
// for a fresh one.
func TestSuspendedMachineWakesUpToAnExpiredToken(t *testing.T) {
	for name, awake := range map[string]time.Duration{
		"a caller is first":    0,
		"the timer goes first": 30 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := &Cache{Source: sourceFunc(func() (*oauth2.Token, error) {
					asked++
					return &oauth2.Token{AccessToken: string(rune('a' + asked)), Expiry: time.Now().Add(30 * time.Minute)}, nil
				})}
				if _, err := c.Token(); err != nil {
					t.Fatal(err)
				}
				stale := c.current.Load()
				setClock(c, time.Hour)
				time.Sleep(awake)
				if asked != 1 {
					t.Fatalf("the source was asked %d times; a token that expired during the suspension is fetched when a call needs it", asked)
				}
				tok, err := c.Token()
				if err != nil || tok.AccessToken == stale.token.AccessToken {
					t.Fatalf("after the suspension a caller got %v, %v: want another token", tok, err)
				}
			})
		})
	}
}

// A hold by the monotonic clock and a timer by the wall clock lost the refresh
// after a suspension, or spun.
func TestSuspendDuringAHold(t *testing.T) {
	for name, calls := range map[string]bool{"a caller is first": true, "the timer goes first": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := &Cache{EarlyRefresh: 20 * time.Minute, Source: sourceFunc(func() (*oauth2.Token, error) {
					if asked++; asked == 2 {
						return nil, &Error{Status: 429, RetryAfter: time.Minute}
					}
					return &oauth2.Token{AccessToken: string(rune('a' + asked)), Expiry: time.Now().Add(time.Hour)}, nil
				})}
				defer c.Close()
				if _, err := c.Token(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(WindowOpens(c)) + time.Second)
				setClock(c, 30*time.Second)
				if calls {
					time.Sleep(29 * time.Second)
					c.Token()
				} else {
					time.Sleep(59 * time.Second)
				}
				synctest.Wait()
				if asked != 3 || c.current.Load().token.AccessToken != "d" {
					t.Fatalf("the source was asked %d times", asked)
				}
			})
		})
	}
}
