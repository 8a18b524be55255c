package demo

// Who takes part, and what happens when. Each lane is one provider as one library
// uses it, with a sandbox of its own. All moments are fractions of a token's lifetime, chosen so
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

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

const (
	tokenDelay = 100 * time.Millisecond // a token request's, as over the Internet
	retryAfter = time.Second            // the least that Retry-After can say
	clockStep  = 50 * time.Millisecond  // a wall clock may be corrected by that much during a run
	patience   = 30 * time.Second       // longer than anything can take after a run's end

	// Flinks' sessions start that often a second, whatever --rate says: ready
	// tokens last through the outage then.
	sessionRate = 5
	readyTokens = 8
)

type scenario struct {
	duration time.Duration
	Lifetime time.Duration
	Workers  int     // of each lane
	Rate     float64 // requests a second of each

	start  func(sandbox.Config) *sandbox.Sandbox
	faults [3]span // each happened within
}

func (s *scenario) revoked() span { return s.faults[0] }
func (s *scenario) down() span    { return span{s.faults[1].Begin, s.faults[2].End} }

func (s *scenario) check() error {
	switch {
	case s.Lifetime < 5*time.Second || s.Lifetime%time.Second != 0 || s.duration < s.Lifetime*3/2 || s.duration > time.Hour:
		return usagef("--lifetime must be whole seconds, at least 5s, and --duration one and a half of that, at most 1h")
	case s.Workers < 1 || s.Workers > 1000 || !(s.Rate >= 0.1 && s.Rate <= 1000):
		return usagef("--workers must be 1 to 1000, --rate 0.1 to 1000")
	}
	return nil
}

// at is when the revocation comes, and the outage begins and ends.
func (s *scenario) at() [3]time.Duration {
	return [3]time.Duration{s.Lifetime * 30 / 100, s.Lifetime * 75 / 100, s.Lifetime * 95 / 100}
}
func (s *scenario) earlyWindow() time.Duration { return s.Lifetime / 2 }  // the most that a Cache allows
func (s *scenario) margin() time.Duration      { return s.Lifetime / 10 } // a Cache's, for lifetimes this short

// due is the least age at which a token is replaced: half the lifetime, of which
// an answer may cut off a second.
func (s *scenario) due() time.Duration { return (s.Lifetime-time.Second)/2 - clockStep }

// excusable: a machine that holds up everything for that long may make a token
// useless before it arrives.
func (s *scenario) excusable(heldUp time.Duration) bool { return heldUp >= s.margin()/2 }

var errSlow = errors.New("the demo did not come to its end: requests hang, or the machine is far too busy")

// run lets the lanes work through the scenario, all at the same time.
func (s *scenario) run(parent context.Context, live *progress, lanes []*lane) (text string, broken []string, err error) {
	ctx, cancel := context.WithTimeoutCause(parent, s.duration+patience, errSlow)
	defer cancel()
	live.say("%s", s)
	var first, work sync.WaitGroup
	for _, l := range lanes {
		l.cut = ctx
		first.Go(func() { l.request(ctx) })
	}
	first.Wait()
	live.start(s.duration, func() string { return numbers(lanes) })
	start := time.Now()
	for _, l := range lanes {
		work.Go(func() {
			l.work(ctx, start, func(next time.Time) bool { return next.Before(start.Add(s.duration)) })
		})
	}
	work.Go(func() { s.conduct(ctx, lanes, start, live) })
	work.Wait()
	for _, l := range lanes {
		l.close()
	}
	if ctx.Err() == nil {
		text, broken = s.report(lanes)
	}
	return text, broken, context.Cause(ctx)
}

// conduct lets the faults happen.
func (s *scenario) conduct(ctx context.Context, lanes []*lane, start time.Time, live *progress) {
	for i, f := range []struct {
		what   string
		happen func(*lane)
	}{
		{"every token is revoked", func(l *lane) { l.sandbox.Revoke(l.provider) }},
		{"the token endpoints answer 503", func(l *lane) { l.sandbox.Always(l.provider, sandbox.Token, down) }},
		{"the token endpoints work again", func(l *lane) { l.sandbox.Always(l.provider, sandbox.Token, slow) }},
	} {
		select {
		case <-time.After(time.Until(start.Add(s.at()[i]))):
		case <-ctx.Done():
			return
		}
		s.faults[i].Begin = time.Now()
		for _, l := range lanes {
			f.happen(l)
		}
		s.faults[i].End = time.Now()
		live.say("%4.1fs  %s", s.at()[i].Seconds(), f.what)
	}
}

func (s *scenario) String() string {
	return fmt.Sprintf("3 providers, %d workers each, %g requests a second each; tokens live %v", s.Workers, s.Rate, s.Lifetime)
}

// slow and down are what the token endpoints do.
var (
	slow = sandbox.Fault{Delay: tokenDelay}
	down = sandbox.Fault{Delay: tokenDelay, Status: http.StatusServiceUnavailable,
		Header: http.Header{"Retry-After": {fmt.Sprint(retryAfter.Seconds())}}}
)

// numbers are those of each library so far.
func numbers(lanes []*lane) string {
	var done, failed [2]int
	for i, l := range lanes {
		l.note(func() {
			done[2*i/len(lanes)] += len(l.requests)
			failed[2*i/len(lanes)] += l.failed
		})
	}
	return fmt.Sprintf("tokensource %d, %d failed | x/oauth2 %d, %d failed", done[0], failed[0], done[1], failed[1])
}

// lanes are all. The library is Transport, Cache and provider, at Flinks once
// with ready tokens. Its peer is x/oauth2's cache and transport over the same
// providers, and once by itself at Flinks: the library's provider gives single-use
// tokens no time to live, so that x/oauth2 never reuses them; x/oauth2's own
// client credentials know nothing of single use.
func (s *scenario) lanes() (all []*lane) {
	for _, library := range []string{"tokensource", "x/oauth2"} {
		for _, p := range []sandbox.Provider{sandbox.Blink, sandbox.Blackhawk, sandbox.Flinks, sandbox.Flinks} {
			all = append(all, s.newLane(library, p))
		}
	}
	all[3].name, all[3].ready = fmt.Sprintf("flinks, Ready: %d", readyTokens), readyTokens
	for _, l := range all[:4] {
		l.useCache(&tokensource.Cache{Ready: l.ready})
	}
	for _, l := range all[4:7] {
		l.useOAuth2(l.source())
	}
	alone := all[7]
	alone.name = "flinks, alone"
	config := &clientcredentials.Config{ClientID: sandbox.ID, ClientSecret: sandbox.Secret,
		TokenURL: alone.sandbox.TokenURL(sandbox.Flinks), AuthStyle: oauth2.AuthStyleInHeader}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, alone.tokenClient())
	// Not its TokenSource, which brings a cache whose margin of 10 s is fixed.
	alone.useOAuth2(tokensource.TokenFunc(func(context.Context) (*oauth2.Token, error) { return config.Token(ctx) }))
	return all
}

func (s *scenario) newLane(library string, p sandbox.Provider) *lane {
	sb := s.start(sandbox.Config{TokenLifetime: s.Lifetime})
	l := &lane{scenario: s, library: library, name: string(p), provider: p, sandbox: sb,
		url: sb.URL, api: sb.APIURL(p), base: sb.Client().Transport}
	if t, ok := l.base.(*http.Transport); ok {
		l.connect(t.Clone())
	}
	sb.Always(p, sandbox.Token, slow)
	return l
}

// connect has the lane use t, which is its own.
func (l *lane) connect(t *http.Transport) {
	// The default keeps two connections, and the rest would be handshakes.
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 2*l.scenario.Workers
	l.base = t
}

func (l *lane) close() {
	if l.cache != nil {
		l.cache.Close()
	}
	(&http.Client{Transport: l.base}).CloseIdleConnections()
	if l.sandbox != nil {
		l.sandbox.Close()
	}
}

// useCache uses the library's Transport and c, which needs a source.
func (l *lane) useCache(c *tokensource.Cache) {
	c.Source, c.EarlyRefresh, l.cache = l.source(), l.scenario.earlyWindow(), c
	l.client = &http.Client{Transport: &tokensource.Transport{Source: c, Base: apiTap{l.base}, Origins: []string{l.url}}}
}

// useOAuth2 uses x/oauth2's cache and transport. That cache calls a token used up
// 10 s before expiry, which is longer than these tokens live and would switch it
// off: it gets the Cache's margin instead.
func (l *lane) useOAuth2(src oauth2.TokenSource) {
	cached := oauth2.ReuseTokenSourceWithExpiry(nil, src, l.scenario.margin())
	l.client = &http.Client{Transport: &oauth2.Transport{Source: cached, Base: apiTap{l.base}}}
}

// source is where a lane's tokens come from.
func (l *lane) source() oauth2.TokenSource {
	credentials, client := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), l.tokenClient()
	switch l.provider {
	case sandbox.Flinks:
		return &tokensource.Flinks{Credentials: credentials, BaseURL: l.url, HTTPClient: client}
	case sandbox.Blackhawk:
		return &tokensource.Blackhawk{Credentials: credentials, BaseURL: l.url, HTTPClient: client}
	}
	return &tokensource.Blink{Credentials: credentials, BaseURL: l.url, HTTPClient: client}
}

func (l *lane) tokenClient() *http.Client { return &http.Client{Transport: tokenTap{l}} }
