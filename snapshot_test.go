package tokensource

// What no caller can see: when the early window of the current token opens, and
// what the token's times look like to a machine that was suspended.

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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
	if c.more != nil {
		c.more.rejections.last = c.more.rejections.last.Add(-d)
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

// Allocations of the paths that every request takes.

// noBase allocates nothing. Its response is one to the attempt, as net/http's
// is, unless it is shared.
type noBase struct {
	resp   *http.Response
	shared bool
}

func (b noBase) RoundTrip(req *http.Request) (*http.Response, error) {
	if !b.shared {
		b.resp.Request = req
	}
	return b.resp, nil
}

func TestAllocations(t *testing.T) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "abc", Expiry: time.Now().Add(time.Hour)})
	cache := &Cache{Source: source}
	defer cache.Close()
	base := noBase{resp: &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	stub := noBase{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, true}
	get := func(headers ...string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/path", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			req.Header.Set(h, "value")
		}
		return req
	}
	roundTrip := func(tr *Transport, req *http.Request) func() error {
		return func() error {
			_, err := tr.RoundTrip(req)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		most float64
		f    func() error
	}{
		{"Cache.Token: the caller's copy", 1, func() error {
			_, err := cache.Token()
			return err
		}},
		{"Cache.get: the Transport's share", 0, func() error {
			_, err := cache.get(t.Context())
			return err
		}},
		{"Transport: request, header and its values", 3, roundTrip(
			&Transport{Source: cache, Base: base}, get("Accept", "Content-Type", "User-Agent", "Idempotency-Key", "Traceparent"))},
		{"Transport, more values than fit", 4, roundTrip(
			&Transport{Source: cache, Base: base}, get("Accept", "Content-Type", "User-Agent", "Idempotency-Key", "Traceparent", "X-Own"))},
		{"Transport, shared response", 3, roundTrip(&Transport{Source: cache, Base: stub}, get("Accept"))},
		{"Transport with Origins", 3, roundTrip(
			&Transport{Source: cache, Base: base, Origins: []string{"https://other.example", "https://api.example"}}, get("Accept"))},
		{"Transport, no headers yet", 3, roundTrip(&Transport{Source: cache, Base: base}, get())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := testing.AllocsPerRun(100, func() {
				if err := tt.f(); err != nil {
					t.Fatal(err)
				}
			})
			if n > tt.most {
				t.Errorf("%v allocations, want at most %v", n, tt.most)
			}
		})
	}
}

// withWallClock returns a Time whose wall clock says d more, while its monotonic
// reading stays.
func withWallClock(t time.Time, d time.Duration) time.Time {
	type layout struct {
		wall uint64 // with a monotonic reading: the seconds from bit 30 on
		ext  int64
		loc  *time.Location
	}
	(*layout)(unsafe.Pointer(&t)).wall += uint64(int64(d/time.Second)) << 30
	return t
}

// A clock set back by an hour handed out a dead token for 55 minutes, and kept
// a failing refresh from being tried again; a suspended machine took an old
// token for a fresh one.
func TestTheClockThatSaysMoreCounts(t *testing.T) {
	issued := time.Now()
	s, err := newSnapshot(&oauth2.Token{AccessToken: "a", Expiry: issued.Add(5 * time.Minute)}, issued, issued, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	f := (*failure)(nil).then(&Error{Err: errExpired}, issued, issued, 1)
	for name, c := range map[string]struct {
		now   time.Time
		valid bool
		over  bool // the hold
	}{
		"at once":                         {issued, true, false},
		"later":                           {issued.Add(4 * time.Minute), true, true},
		"later still":                     {issued.Add(6 * time.Minute), false, true},
		"later, the clock was set back":   {withWallClock(issued.Add(6*time.Minute), -time.Hour), false, true},
		"soon, the clock was set back":    {withWallClock(issued.Add(2*time.Second), -time.Hour), true, true},
		"soon, the machine was suspended": {withWallClock(issued.Add(time.Second), time.Hour), false, true},
	} {
		if s.valid(c.now) != c.valid || (f.left(c.now, true) == 0) != c.over {
			t.Errorf("%s: valid %v, %v left of the hold", name, s.valid(c.now), f.left(c.now, true))
		}
	}
}

// What a caller does to an extra field must not reach another caller.
func TestOwnCopiesAreDeep(t *testing.T) {
	types := []any{"card"}
	nested := map[string]any{"list": []string{"a"}}
	tok := (&oauth2.Token{AccessToken: "a"}).WithExtra(map[string]any{"payment_types": types, "nested": nested, "scope": "s", "nothing": nil})
	c := &Cache{Source: sourceFunc(func() (*oauth2.Token, error) { return tok, nil })}
	for range 2 {
		got, err := c.Token()
		if err != nil || got.Extra("payment_types").([]any)[0] != "card" || got.Extra("nested").(map[string]any)["list"].([]string)[0] != "a" ||
			got.Extra("scope") != "s" || got.Extra("nothing") != nil {
			t.Fatalf("got %v, %v", got, err)
		}
		got.Extra("payment_types").([]any)[0] = "scribbled"
		got.Extra("nested").(map[string]any)["list"].([]string)[0] = "scribbled"
		types[0], nested["list"] = "scribbled", nil // by the source
	}
}
