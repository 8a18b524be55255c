package tokensource_test

// A source that the tests of the Cache script, and a crowd of callers to ask
// it; and what is looked at after all tests. Times are virtual: every test runs in a synctest bubble.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// scriptedSource plays a provider: it counts its calls, takes its time,
// and fails as it is told.
type scriptedSource struct {
	latency  time.Duration // of a call, unless its context ends sooner
	lifetime time.Duration // of a token, from when it was asked for; 0: it names none

	// reply, where set, decides what the call of this number (from 1) returns.
	reply func(call int) (*oauth2.Token, error)

	sees func(ctx context.Context) // if set, what each call is made with

	mu    sync.Mutex
	asked []time.Time // when each call began
}

func (s *scriptedSource) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

func (s *scriptedSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	start := time.Now()
	s.mu.Lock()
	s.asked = append(s.asked, start)
	call := len(s.asked)
	s.mu.Unlock()
	if s.sees != nil {
		s.sees(ctx)
	}
	if s.latency > 0 {
		select {
		case <-time.After(s.latency):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.reply != nil {
		return s.reply(call)
	}
	tok := tokenNo(call)
	if s.lifetime > 0 {
		tok.Expiry = start.Add(s.lifetime)
	}
	return tok, nil
}

// calls returns when each call began.
func (s *scriptedSource) calls() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked...)
}

// contextless hides that a source takes a context, and SingleUse, as a foreign
// wrapper does.
type contextless struct{ oauth2.TokenSource }

func tokenNo(call int) *oauth2.Token {
	return &oauth2.Token{AccessToken: fmt.Sprintf("token-%d", call)}
}

// lasting is a token whose lifetime begins now.
func lasting(call int, lifetime time.Duration) (*oauth2.Token, error) {
	tok := tokenNo(call)
	tok.Expiry = time.Now().Add(lifetime)
	return tok, nil
}

var (
	errRefusal = &tokensource.Error{Status: 400, Err: errors.New("the request was refused")}
	errOutage  = &tokensource.Error{Status: 503, Err: errors.New("out of order")}
)

// failing returns a reply that fails the calls from first to last.
func failing(first, last int, err error, lifetime time.Duration) func(int) (*oauth2.Token, error) {
	return func(call int) (*oauth2.Token, error) {
		if first <= call && call <= last {
			return nil, err
		}
		return lasting(call, lifetime)
	}
}

const always = 1 << 30 // the last call

// answer is what one caller got, and how long it waited.
type answer struct {
	access string
	err    error
	waited time.Duration
}

func ask(ctx context.Context, src tokensource.ContextTokenSource) answer {
	start := time.Now()
	tok, err := src.TokenContext(ctx)
	a := answer{err: err, waited: time.Since(start)}
	if tok != nil {
		a.access = tok.AccessToken
	}
	return a
}

// crowd asks n times at once.
func crowd(ctx context.Context, src tokensource.ContextTokenSource, n int) []answer {
	answers := make([]answer, n)
	var callers sync.WaitGroup
	for i := range answers {
		callers.Go(func() { answers[i] = ask(ctx, src) })
	}
	callers.Wait()
	return answers
}

// wantToken fails the test unless src has this token, at once.
func wantToken(t *testing.T, src tokensource.ContextTokenSource, access string) {
	t.Helper()
	if a := ask(t.Context(), src); a.err != nil || a.access != access || a.waited != 0 {
		t.Fatalf("got %q, error %v, after %v; want %q at once", a.access, a.err, a.waited, access)
	}
}

func wantCalls(t *testing.T, src *scriptedSource, n int) {
	t.Helper()
	if got := len(src.calls()); got != n {
		t.Fatalf("the source was asked %d times, want %d", got, n)
	}
}

// wantBetween fails the test unless d is within [low, high].
func wantBetween(t *testing.T, what string, d, low, high time.Duration) {
	t.Helper()
	if d < low || d > high {
		t.Fatalf("%s: %v, want %v to %v", what, d, low, high)
	}
}

// asError fails the test unless err is the package's typed error.
func asError(t *testing.T, err error) *tokensource.Error {
	t.Helper()
	var e *tokensource.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want an *Error", err, err)
	}
	return e
}

// TestMain has the runtime look for goroutines that can never go on, if it was
// built with GOEXPERIMENT=goroutineleakprofile, as .ci/run does.
func TestMain(m *testing.M) {
	code := m.Run()
	if leaks := pprof.Lookup("goroutineleak"); leaks != nil {
		var report bytes.Buffer
		if err := leaks.WriteTo(&report, 1); err != nil || leaks.Count() > 0 {
			fmt.Fprintf(os.Stderr, "leaked goroutines: %v\n%s", err, &report)
			code = 1
		}
	}
	os.Exit(code)
}
