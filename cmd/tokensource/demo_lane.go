package main

// A lane is one provider as one contender uses it: workers that call the API,
// and a record of each request, each token request and each fault.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

type lane struct {
	scenario  *scenario
	contender *contender
	provider  sandbox.Provider
	single    bool // a token serves one request
	client    *http.Client
	url       string
	replaces  bool   // the library replaces a rejected token
	asking    func() // told of each token request; may be nil

	done, failed atomic.Int64 // for the live display

	mu            sync.Mutex // guards what follows
	requests      []*request // the first got the lane its first token
	tokenRequests []*tokenRequest
	tokens        []token   // of the Cache, in order
	failures      []span    // of the Cache's refreshes
	expiry        time.Time // of the token that OnToken saw last
	revoked       span      // the revocation happened within it
	outage        span      // every 503 was decided within it
}

type span struct{ begin, end time.Time }

func (s span) overlaps(t span) bool { return !s.end.Before(t.begin) && !t.end.Before(s.begin) }

// request is one call of the API.
type request struct {
	span
	attempts int           // how often it left the library
	below    time.Duration // time spent beneath the library, on the network
	status   int
	err      error
}

// added is the time that the library, and net/http's client around it, added.
func (r *request) added() time.Duration { return r.end.Sub(r.begin) - r.below }

func (r *request) failed() bool { return r.err != nil || r.status != http.StatusOK }

func (r *request) failure() string {
	if r.err != nil {
		return r.err.Error()
	}
	return fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
}

// tokenRequest is one call of a token endpoint.
type tokenRequest struct {
	begin time.Time
	end   time.Time // zero if the run ended before
}

// token is one that the Cache has published.
type token struct {
	asked  time.Time // the refresh began
	got    time.Time // callers can have it
	expiry time.Time // the provider's
}

// work makes requests at a steady rate. A worker that is held up does not make
// up for it.
func (l *lane) work(ctx context.Context, begin time.Time, interval time.Duration, goOn func(next time.Time) bool) {
	wait := time.NewTimer(time.Until(begin))
	defer wait.Stop()
	for next := begin; goOn(next); {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
		l.request(ctx)
		for now := time.Now(); !next.After(now); {
			next = next.Add(interval)
		}
		wait.Reset(time.Until(next))
	}
}

type requestKey struct{}

func (l *lane) request(ctx context.Context) {
	r := new(request)
	ctx = context.WithValue(ctx, requestKey{}, r)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader("{}"))
	if err != nil {
		panic(err) // the URL is the sandbox's
	}
	req.Header.Set("Content-Type", "application/json")
	r.begin = time.Now()
	resp, err := l.client.Do(req)
	r.end = time.Now()
	if r.err = err; err == nil {
		r.status = resp.StatusCode
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	l.done.Add(1)
	if r.failed() {
		l.failed.Add(1)
	}
	l.mu.Lock()
	l.requests = append(l.requests, r)
	l.mu.Unlock()
}

// apiTap sits beneath the library's Transport and measures what is not its time.
type apiTap struct{ base http.RoundTripper }

func (t apiTap) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Context().Value(requestKey{}).(*request)
	r.attempts++
	begin := time.Now()
	resp, err := t.base.RoundTrip(req)
	r.below += time.Since(begin)
	return resp, err
}

// tokenTap sits beneath a provider.
type tokenTap struct {
	base http.RoundTripper
	lane *lane
}

func (t *tokenTap) RoundTrip(req *http.Request) (*http.Response, error) {
	r := &tokenRequest{begin: time.Now()}
	t.lane.mu.Lock()
	t.lane.tokenRequests = append(t.lane.tokenRequests, r)
	t.lane.mu.Unlock()
	if t.lane.asking != nil {
		t.lane.asking()
	}
	resp, err := t.base.RoundTrip(req)
	t.lane.mu.Lock()
	r.end = time.Now()
	t.lane.mu.Unlock()
	return resp, err
}

// onToken and onEvent are the Cache's hooks.
func (l *lane) onToken(_ context.Context, tok *oauth2.Token) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiry = tok.Expiry
	return nil
}

func (l *lane) onEvent(_ context.Context, e tokensource.Event) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case tokensource.EventFetched, tokensource.EventLoaded:
		l.tokens = append(l.tokens, token{now.Add(-e.Duration), now, l.expiry})
	case tokensource.EventFailed:
		l.failures = append(l.failures, span{now.Add(-e.Duration), now})
	}
}

// current is the Cache's latest token.
func (l *lane) current() token {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tokens[len(l.tokens)-1]
}

func (l *lane) revoke() {
	begin := time.Now()
	l.contender.sandbox.Revoke(l.provider)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revoked = span{begin, time.Now()}
}

func (l *lane) beginOutage() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outage.begin = time.Now()
	l.tokenEndpoints(down)
}

func (l *lane) endOutage() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokenEndpoints(slow)
	l.outage.end = time.Now()
}

func (l *lane) tokenEndpoints(f sandbox.Fault) {
	l.contender.sandbox.Always(l.provider, sandbox.Token, f)
	l.contender.sandbox.Always(l.provider, sandbox.Refresh, f)
}
