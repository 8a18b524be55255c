package tokensource_test

// Entries that are not of this release, or not of this time.

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"golang.org/x/oauth2"
)

// olderRelease is the store as a process of an older release uses it: under
// names of its own, with bytes that no other release can read.
type olderRelease struct{ tokensource.Store }

func (olderRelease) name(key string) string { return "older-" + key }

func (olderRelease) turn(value []byte) []byte {
	value = slices.Clone(value)
	slices.Reverse(value)
	return value
}

func (s olderRelease) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, left, err := s.Store.Load(ctx, s.name(key))
	return s.turn(value), left, err
}

func (s olderRelease) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Save(ctx, s.name(key), s.turn(value), ttl)
}

func (s olderRelease) Delete(ctx context.Context, key string, value []byte) error {
	return s.Store.Delete(ctx, s.name(key), s.turn(value))
}

func (s olderRelease) TryLock(ctx context.Context, key string) (context.Context, func(), error) {
	return s.Store.TryLock(ctx, s.name(key))
}

// A rolling upgrade, one process every 6 minutes. Under one name the releases
// overwrote each other's entries: 12 requests per rollover.
func TestTwoReleasesSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 10)
		for _, m := range f.members {
			m.Store = olderRelease{m.store}
		}
		f.wantSame(t, blinkLatency+lookAgain)
		begin := time.Now()
		for i := range f.members {
			f.serve(t, 10*time.Second, 6*time.Minute)
			names := map[bool]int{}
			for key := range f.store.Entries() {
				if strings.HasSuffix(key, "-token") {
					names[strings.HasPrefix(key, "older-")]++
				}
			}
			if names[true] != 1 || i > 0 && names[false] != 1 {
				t.Fatalf("after %d upgrades the store has %d older and %d newer tokens", i, names[true], names[false])
			}
			f.members[i].Close()
			upgraded := f.join(t)
			f.members = f.members[:len(f.members)-1]
			f.members[i] = upgraded
			if a := ask(t.Context(), upgraded); a.err != nil || i > 0 && a.waited > 0 {
				t.Fatalf("upgrade %d: %+v", i, a)
			}
		}
		f.wantSame(t, 0)
		// A token is renewed after 25 to 26 minutes.
		if n, most := f.requests(), 2*(1+int(time.Since(begin)/(25*time.Minute))); n > most {
			t.Errorf("%d token requests, want no more than two per rollover: %d", n, most)
		}
		if rejected := f.Ledger()[sandbox.Blink].Rejected; rejected > 0 {
			t.Errorf("the API rejected %d tokens", rejected)
		}
	})
}

// An older entry that is put back, by a restored backup or by an attacker.
func TestRolledBackEntryCountsAsAbsent(t *testing.T) {
	for name, replace := range map[string]func(f *fleet){
		"at the rollover": func(*fleet) { time.Sleep(27 * time.Minute) },
		"after the newer token was rejected": func(f *fleet) {
			for _, m := range f.members {
				tok, _ := m.Token()
				m.Invalidate(&oauth2.Token{AccessToken: tok.AccessToken})
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 5)
			first := f.wantSame(t, blinkLatency+lookAgain)
			key, old := f.entry(t)
			f.serve(t, 10*time.Second, 27*time.Minute)
			second := f.wantSame(t, 0)
			if err := f.store.Save(t.Context(), key, old, time.Hour); err != nil {
				t.Fatal(err)
			}
			replace(f)
			f.tokens(t, blinkLatency+lookAgain)
			time.Sleep(blinkLatency + 2*lookAgain)
			if third := f.wantSame(t, 0); third == first || third == second {
				t.Errorf("the fleet has an old token again")
			}
			f.wantRequests(t, 3)
		})
	}
}
