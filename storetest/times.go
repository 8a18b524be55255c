package storetest

// What must be true of an entry's time to live.

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

func ttl(t testing.TB, open opener) {
	s := open()
	const short = time.Second
	lapses, shortened, prolonged, tiny := newKey(), newKey(), newKey(), newKey()
	for _, e := range []struct {
		key string
		ttl time.Duration
	}{
		{shortened, keep}, {shortened, short}, {prolonged, short}, {prolonged, keep}, {tiny, time.Nanosecond}, {lapses, short},
	} {
		// An entry that is too short-lived to be kept may be refused.
		if err := s.Save(t.Context(), e.key, []byte("value"), e.ttl); err != nil && e.key != tiny {
			t.Fatalf("Save for %v: %v", e.ttl, err)
		}
	}
	wantValue(t, s, lapses, []byte("value"))
	eventually(t, short+slack, "entries are gone after their ttl", func() bool {
		return !slices.ContainsFunc([]string{lapses, shortened, tiny}, func(key string) bool {
			_, _, err := s.Load(t.Context(), key)
			return !errors.Is(err, tokensource.ErrNotFound)
		})
	})
	wantValue(t, s, prolonged, []byte("value"))
	if err := s.Delete(t.Context(), lapses, []byte("value")); err != nil {
		t.Fatalf("Delete of an expired entry: %v", err)
	}
	save(t, s, lapses, []byte("again"))
	wantValue(t, open(), lapses, []byte("again"))
}

// timeLeft wants what a process reads to be what another one wrote, less the
// time that passed: whichever of them has the wrong clock.
func timeLeft(t testing.TB, open opener) {
	type entry struct {
		key   string
		ttl   time.Duration
		saved time.Time
	}
	a, b := open(), open()
	var entries []entry
	for i, ttl := range []time.Duration{4 * time.Second, time.Minute, keep, 30 * 24 * time.Hour} {
		for _, s := range []tokensource.Store{a, b} {
			e := entry{newKey(), ttl, time.Now()}
			for _, ttl := range []time.Duration{2 * ttl, ttl} { // the last one counts
				if err := s.Save(t.Context(), e.key, fmt.Append(nil, i), ttl); err != nil {
					t.Fatalf("Save for %v: %v", ttl, err)
				}
			}
			entries = append(entries, e)
		}
	}
	check := func() {
		t.Helper()
		for _, e := range entries {
			for _, s := range []tokensource.Store{a, b} {
				asked := time.Now()
				_, left, err := s.Load(t.Context(), e.key)
				most, least := e.ttl-asked.Sub(e.saved)+slack, e.ttl-time.Since(e.saved)-slack
				if most = min(most, e.ttl); err != nil || left > most || left < least {
					t.Errorf("Load %v after a Save for %v: left = %v, %v; want %v to %v", asked.Sub(e.saved), e.ttl, left, err, least, most)
				}
			}
		}
	}
	check()
	<-time.After(2*slack + slack/2)
	check()
}
