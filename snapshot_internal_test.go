package tokensource

import (
	"testing"
	"time"
	"unsafe"

	"golang.org/x/oauth2"
)

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
	f := (*failure)(nil).next(&Error{Err: errExpired}, issued, issued, 1)
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
