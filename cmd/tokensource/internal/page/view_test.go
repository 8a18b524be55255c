package page

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// A source is asked, and then looked at: what does an operator read? Bubbles
// begin at midnight.
func TestStates(t *testing.T) {
	ask := func(s Source, times int, every time.Duration) {
		for range times {
			s.Cache.Token()
			time.Sleep(every)
		}
		synctest.Wait()
	}
	limited := sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"100"}}}
	for name, tt := range map[string]struct {
		source int // of newService: blink, flinks, blackhawk
		before func(t *testing.T, s *service, src Source)
		title  string
		want   []string
		not    []string
	}{
		"not asked": {0, func(*testing.T, *service, Source) {},
			"No token in use", []string{"Up since 00:00:00 , now 00:00:00 UTC.", "blink secure.blinkpayment.co.uk Not asked for yet Refreshes in the last hour none"}, []string{"Next", "Because"}},
		"valid": {0, func(_ *testing.T, s *service, src Source) { ask(src, 5, time.Minute) },
			"All well", []string{"Up since 00:00:00 , now 00:05:00 UTC.", "Valid Next refresh 00:2", "Expires 00:30:00 in 25 min Last success 00:00:00 5 min ago Refresh took 212 ms",
				"Token age 5 min", "25 min to expiry", "waited, got a token 1", "fetched 1"}, []string{"Because", "failed"}},
		"no token, held": {0, func(_ *testing.T, s *service, src Source) {
			s.fail(sandbox.Blink, limited)
			ask(src, 2, 20*time.Second)
		},
			"No token: blink", []string{"No token: held until 00:01:40", "Next attempt 00:01:40 in 1 min, if asked", "Failing since 00:00:00 40 s ago Failures 1",
				"Because blink: 429 Too Many Requests", "waited, got none 1", "held: failed at once 1"}, []string{"Last success", "expiry"}},
		"no token, the hold is over": {0, func(_ *testing.T, s *service, src Source) {
			s.fail(sandbox.Blink, limited)
			ask(src, 1, 3*time.Minute)
		},
			"No token: blink", []string{"No token Next attempt with the next request"}, []string{"held until"}},
		"valid, refresh is failing": {2, func(_ *testing.T, s *service, src Source) {
			ask(src, 1, time.Minute)
			s.fail(sandbox.Blackhawk, limited)
			for src.Cache.Status().Err == nil {
				ask(src, 1, time.Second)
			}
		},
			"Refresh is failing: blackhawk", []string{"Valid, refresh is failing Next attempt 00:", "Because blackhawk: 429", "Expires 00:10:00", "Failures 1", "Token age 8 min", "to expiry"}, []string{"held until"}},
		"valid no longer, for it is about to expire": {2, func(_ *testing.T, s *service, src Source) {
			ask(src, 1, time.Minute)
			s.fail(sandbox.Blackhawk, limited)
			ask(src, 1, 8*time.Minute+55*time.Second)
		},
			"No token: blackhawk", []string{"Expires 00:10:00 in 5 s, too soon for use", "Because"}, []string{"to expiry"}},
		"back again": {0, func(_ *testing.T, s *service, src Source) {
			s.fail(sandbox.Blink, limited)
			ask(src, 1, 2*time.Minute)
			s.fail(sandbox.Blink, sandbox.Fault{})
			ask(src, 1, time.Minute)
		},
			"All well", []string{"Valid Next refresh", "1 fetched 1 failed"}, []string{"Because", "Failing", "Failures"}},
		"lapsed": {0, func(_ *testing.T, s *service, src Source) { ask(src, 1, 2*time.Hour) },
			"No token in use", []string{"No token in use: the next request gets one", "Expired 00:55:", "Refreshes in the last hour none"}, []string{"Because", "Next"}},
		"invalidated": {0, func(_ *testing.T, s *service, src Source) {
			tok, _ := src.Cache.Token()
			src.Cache.Invalidate(tok)
		},
			"No token in use", []string{"No token in use: the next request gets one", "Rejected tokens invalidated 1"}, []string{"expiry"}},
		"ready tokens": {1, func(_ *testing.T, s *service, src Source) { ask(src, 3, time.Second) },
			"All well", []string{"Valid Last success", "3 of 3 single-use tokens ready"}, []string{"Because", "Expire"}},
		"ready tokens run out": {1, func(_ *testing.T, s *service, src Source) {
			ask(src, 3, time.Second)
			s.fail(sandbox.Flinks, limited)
			ask(src, 2, time.Second)
		},
			"Refresh is failing: flinks", []string{"Valid, refresh is failing Next attempt 00:01:43", "Because", "1 of 3 single-use tokens ready", "or before"}, nil},
		"a token for each call": {1, func(_ *testing.T, s *service, src Source) {
			src.Cache.Ready = 0
			ask(src, 3, time.Second)
		},
			"All well", []string{"Valid: a token for each request", "fetched 3"}, []string{"Because", "ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				src := s.sources[tt.source]
				tt.before(t, s, src)
				s.sources = []Source{src}
				page := text(t, s.get())
				if want := "<title>" + tt.title + " · tokensource</title>"; !strings.Contains(page, want) {
					t.Errorf("the title is not %q", tt.title)
				}
				got := words(t, page)
				for _, want := range tt.want {
					if !strings.Contains(got, want) {
						t.Errorf("it does not say %q", want)
					}
				}
				for _, not := range tt.not {
					if strings.Contains(got, not) {
						t.Errorf("it says %q", not)
					}
				}
				if t.Failed() {
					t.Log(got)
				}
			})
		})
	}
}

// The one that is ill comes first, and the title names it.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := outage(t)
		s.add(t, "unused", &tokensource.Cache{Source: broken("never asked")})
		got := regexp.MustCompile(`<h2 id="source-\d">(\w+)`).FindAllStringSubmatch(text(t, s.get()), -1)
		order := fmt.Sprint(got[0][1], got[1][1], got[2][1], got[3][1])
		if order != fmt.Sprint("blink", "blackhawk", "flinks", "unused") {
			t.Errorf("the order is %s", order)
		}
		for range 20 { // too many to name
			s.add(t, "another one without a token", &tokensource.Cache{Source: broken("no")})
			s.sources[len(s.sources)-1].Cache.Token()
		}
		if page := text(t, s.get()); !strings.Contains(page, "<title>No token: 21 of 24 sources · ") {
			t.Error("the title does not count them")
		}
	})
}

// Each refresh has its mark, at its time, in the shape of its outcome.
func TestChart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.sources = s.sources[:1]
		src := s.sources[0]
		for _, kind := range []tokensource.EventKind{
			tokensource.EventFetched, // an hour ago: over
			tokensource.EventFetched, tokensource.EventFailed, tokensource.EventLoaded, tokensource.EventUnchanged,
		} {
			tell(src.History, kind, nil)
			tell(src.History, tokensource.EventServed, nil) // has none
			time.Sleep(12 * time.Minute)
		}
		page := text(t, s.get())
		marks := regexp.MustCompile(`<use href="#\w+" x="[\d.]+%"/>`).FindAllString(page, -1)
		want := []string{
			`<use href="#fetched" x="20.00%"/>`, `<use href="#loaded" x="60.00%"/>`,
			`<use href="#unchanged" x="80.00%"/>`, `<use href="#failed" x="40.00%"/>`,
		}
		if !slices.Equal(marks, want) {
			t.Errorf("marks %q, want %q", marks, want)
		}
		if want := "the latest on the right: 1 fetched, 1 taken from the store, 1 unchanged, 1 failed."; !strings.Contains(page, want) {
			t.Errorf("it is not described by %q", want)
		}
		for _, label := range []string{"00:10", "00:20", "00:30", "00:40", "00:50", "now"} {
			if !strings.Contains(page, ">"+label+"</text>") {
				t.Errorf("the axis has no %s", label)
			}
		}
	})
}

// There are as many marks as the provider had requests.
func TestChartLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.ask(10*time.Second, 10*time.Minute)
		s.fail(sandbox.Blackhawk, sandbox.Fault{Status: 400}) // not tried again within a refresh
		s.ask(time.Second, 10*time.Minute)
		s.fail(sandbox.Blackhawk, sandbox.Fault{})
		s.ask(10*time.Second, 30*time.Minute)
		want := s.sandbox.Ledger()[sandbox.Blackhawk].TokenRequests
		s.sources = s.sources[2:]
		got := regexp.MustCompile(`<use href="#(fetched|failed)" x="[\d.]+%"/>`).FindAllString(text(t, s.get()), -1)
		if len(got) != want || want < 20 {
			t.Errorf("%d marks, %d requests", len(got), want)
		}
	})
}
