package demo

// A lane's workers, which call the API, and the record of each request, each
// token request and each fault.

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

type lane struct {
	scenario      *scenario
	library, name string // in the table
	provider      sandbox.Provider
	ready         int              // as in Cache
	sandbox       *sandbox.Sandbox // nil if another process runs it
	url, api      string
	base          http.RoundTripper // reaches it
	client        *http.Client
	cache         *tokensource.Cache  // of the client; nil if it has none of the library
	asking        func(*tokenRequest) // told of each token request; may be nil
	cut           context.Context     // ends token requests, too: x/oauth2 gives them no context

	mu            sync.Mutex // guards what follows
	start         time.Time  // of the workers
	requests      []*request // the first got the lane its first token
	failed        int        // of them
	tokenRequests []*tokenRequest
	heldUp        time.Duration // by the machine, at most
}

type span struct{ Begin, End time.Time }

func (s span) overlaps(t span) bool { return !s.End.Before(t.Begin) && !t.End.Before(s.Begin) }

// request is one call of the API.
type request struct {
	span
	below  time.Duration // time spent beneath the library, on the network
	status string
	err    error
}

// added is the time that the library, and net/http's client around it, added.
func (r *request) added() time.Duration { return r.End.Sub(r.Begin) - r.below }

func (r *request) failed() bool { return r.status != "200 OK" }

// rejected: the API did not take its token.
func (r *request) rejected() bool { return r.status == "401 Unauthorized" }

// tokenRequest is one call of a token endpoint.
type tokenRequest struct {
	span
	Good bool // it got a token
	Cut  bool // the end of the run, or of its process, cut it off

	// In a fleet: there was no token in the store before, there is not since,
	// the store failed.
	Missing, Unsaved, StoreDown bool
}

// sessions: each request starts one, with a token of its own.
func (l *lane) sessions() bool { return l.provider == sandbox.Flinks }

// work has the lane's workers make requests at a steady rate, spread evenly. A
// worker that is held up does not make up for it.
func (l *lane) work(ctx context.Context, start time.Time, goOn func(next time.Time) bool) {
	l.start = start
	workers := time.Duration(l.scenario.Workers)
	interval := time.Duration(float64(time.Second) / l.scenario.Rate)
	if l.sessions() {
		interval = workers * time.Second / sessionRate
	}
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for next := start.Add(interval * i / workers); goOn(next); {
				select {
				case <-time.After(time.Until(next)):
				case <-ctx.Done():
					return
				}
				l.took(time.Since(next))
				l.request(ctx)
				for now := time.Now(); !next.After(now); {
					next = next.Add(interval)
				}
			}
		})
	}
	all.Wait()
}

type requestKey struct{}

// request makes one. What the end of the run cuts off is not counted.
func (l *lane) request(ctx context.Context) {
	r := &request{span: span{Begin: time.Now()}}
	req, _ := http.NewRequestWithContext(context.WithValue(ctx, requestKey{}, r), http.MethodPost, l.api, strings.NewReader("{}"))
	resp, err := l.client.Do(req)
	r.End = time.Now()
	if r.err = err; err == nil {
		r.status = resp.Status
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	} else {
		r.status = err.Error()
	}
	if ctx.Err() != nil {
		return
	}
	l.took(r.below)
	l.note(func() {
		if l.requests = append(l.requests, r); r.failed() {
			l.failed++
		}
	})
}

// note changes the record.
func (l *lane) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// took notes how long something took that takes no time on an idle machine.
func (l *lane) took(d time.Duration) { l.note(func() { l.heldUp = max(l.heldUp, d) }) }

// apiTap sits beneath the library's Transport and measures what is not its time.
type apiTap struct{ base http.RoundTripper }

func (t apiTap) RoundTrip(req *http.Request) (*http.Response, error) {
	r, begin := req.Context().Value(requestKey{}).(*request), time.Now()
	resp, err := t.base.RoundTrip(req)
	r.below += time.Since(begin)
	return resp, err
}

// tokenTap sits beneath a provider.
type tokenTap struct{ *lane }

func (l tokenTap) RoundTrip(req *http.Request) (*http.Response, error) {
	r := &tokenRequest{span: span{Begin: time.Now()}, Cut: true}
	l.note(func() { l.tokenRequests = append(l.tokenRequests, r) })
	if l.asking != nil {
		l.asking(r)
	}
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(l.cut, cancel)
	resp, err := l.base.RoundTrip(req.WithContext(ctx))
	l.note(func() { r.End, r.Good, r.Cut = time.Now(), err == nil && resp.StatusCode < 300, ctx.Err() != nil })
	l.took(r.End.Sub(r.Begin) - tokenDelay)
	return resp, err
}
