package tokensource

// What no caller can see: when the early window of the current token opens, and
// what the token's times look like to a machine that was suspended.

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// WindowOpens is when the current token is to be refreshed.
func WindowOpens(c *Cache) time.Time { return time.Unix(0, c.current.Load().refresh) }

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// opentdf#1854, cloud-sql-proxy#1223: after a suspension the monotonic clock has
// stood still while the wall clock went on, and a token long expired is taken
// for a fresh one. A bubble cannot move one clock alone, so the token's times
// are moved back instead, which is the same to whoever compares them. The timer,
// which runs by the monotonic clock, stays where it was.
//
// Row 12: suspend-safe clock
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
				suspend(c, time.Hour)
				time.Sleep(awake)
				if asked != 1 {
					t.Fatalf("the source was asked %d times; a token that expired during the suspension is fetched when somebody needs it", asked)
				}
				tok, err := c.Token()
				if err != nil || tok.AccessToken == stale.token.AccessToken {
					t.Fatalf("after the suspension a caller got %v, %v: want another token", tok, err)
				}
			})
		})
	}
}

// Who finds no valid token may come to the flight only when that has landed: it
// takes the token that is there.
//
// Row 4: one refresh for many callers
func TestFlightThatComesTooLateAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := &Cache{Synchronous: true, Source: sourceFunc(func() (*oauth2.Token, error) {
			asked++
			return &oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(time.Hour)}, nil
		})}
		for range 2 {
			if r := <-c.fly(t.Context()); r.Err != nil || r.Val.(*snapshot).token.AccessToken != "a" || asked != 1 {
				t.Fatalf("got %v, %v; the source was asked %d times", r.Val, r.Err, asked)
			}
		}
	})
}

// A Time with a monotonic reading compares by that alone, so none may be left
// in what the Cache compares or hands out, whatever the source returned.
//
// Row 12: suspend-safe clock
func TestTokenTimesCarryNoMonotonicReading(t *testing.T) {
	for name, tok := range map[string]*oauth2.Token{
		"expiry by the local clock": {AccessToken: "a", Expiry: time.Now().Add(time.Hour)},
		"expiry as a lifetime only": {AccessToken: "a", ExpiresIn: 3600},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Cache{Synchronous: true, Source: sourceFunc(func() (*oauth2.Token, error) { return tok, nil })}
			got, err := c.TokenContext(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if got.Expiry != got.Expiry.Round(0) {
				t.Fatalf("the expiry has a monotonic reading: %v", got.Expiry)
			}
		})
	}
}

// suspend makes the current token look as it does d of wall-clock time later.
func suspend(c *Cache, d time.Duration) {
	before := c.current.Load()
	after := &snapshot{
		token:         before.token,
		authorization: before.authorization,
		refresh:       before.refresh - int64(d),
		expiry:        before.expiry - int64(d),
	}
	after.token.Expiry = before.token.Expiry.Add(-d)
	after.next.Store(before.next.Load() - int64(d))
	c.current.Store(after)
	c.timer.Stop()
	c.timer = time.AfterFunc(time.Until(time.Unix(0, before.refresh)), func() { c.wake(context.Background(), after) })
}

// A StoreKey seals entries: it is as secret as they are.
func TestStoreKeyDoesNotPrint(t *testing.T) {
	c := &Cache{StoreKey: []byte("the store's key")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text := fmt.Sprintf(verb, c)
		for _, form := range []string{"the store's key", "116 104 101", "74686520", "0x74, 0x68"} {
			if strings.Contains(text, form) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}
