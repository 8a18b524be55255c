package tokensource

// Each step of a refresh alone, without a Cache.

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// returning is a step that returns these, one after the other.
func returning(results ...any) (step, *int) {
	calls := 0
	return func(context.Context, *snapshot) (*snapshot, error) {
		r := results[min(calls, len(results)-1)]
		calls++
		if err, ok := r.(error); ok {
			return nil, err
		}
		return r.(*snapshot), nil
	}, &calls
}

func snapshotOf(t *testing.T, access string, life time.Duration) *snapshot {
	t.Helper()
	now := time.Now()
	s, err := newSnapshot(&oauth2.Token{AccessToken: access, Expiry: now.Add(life)}, now, now, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var errDown = &Error{Status: 503, Err: errors.New("down")}

func TestHoldStep(t *testing.T) {
	other := snapshotOf(t, "another process's", time.Hour)
	found, _ := returning(other)
	nothing, _ := returning(ErrNotFound)
	for name, c := range map[string]struct {
		look step
		want *snapshot
		err  error
	}{
		"nothing in the store": {nothing, nil, errDown},
		"a token in the store": {found, other, nil},
	} {
		s, err := hold(errDown, c.look)(t.Context(), nil)
		if s != c.want || err != c.err {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
}

func TestBoundStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := snapshotOf(t, "late", time.Hour)
		var left unfinished
		var p progress
		var working sync.WaitGroup
		slow := func(context.Context, *snapshot) (*snapshot, error) { time.Sleep(8 * time.Second); return s, nil }
		bounded := bound(5*time.Second, "https://auth.example", &p, &left, &working, slow)
		start := time.Now()
		_, err := bounded(t.Context(), nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "FetchTimeout (5s) from https://auth.example") || time.Since(start) != 5*time.Second {
			t.Fatalf("got %v after %v", err, time.Since(start))
		}
		// The next one takes up the answer.
		if got, err := bounded(t.Context(), nil); got != s || err != nil || time.Since(start) != 8*time.Second || left.late != nil {
			t.Fatalf("got %v, %v after %v", got, err, time.Since(start))
		}
		var last error = errDown
		p.err.Store(&last)
		if _, err := bounded(t.Context(), nil); !errors.Is(err, errDown) {
			t.Errorf("got %v, want the attempt before, too", err)
		}
		working.Wait()
	})
}

func TestApproveStep(t *testing.T) {
	old, s := snapshotOf(t, "old", time.Hour), snapshotOf(t, "new", time.Hour)
	next, asked := returning(s)
	var left unfinished
	var told []string
	errFull := errors.New("disk full")
	answer := errFull
	step := approve("acme", &left, func(_ context.Context, tok *oauth2.Token) error {
		told = append(told, tok.AccessToken)
		tok.AccessToken = "scribbled"
		return answer
	}, next)
	_, err := step(t.Context(), old)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Provider != "acme" || !errors.Is(err, errFull) || left.unapproved != s {
		t.Fatalf("got %v; kept %v", err, left.unapproved)
	}
	answer = nil
	if got, err := step(t.Context(), old); got != s || err != nil || *asked != 1 || len(told) != 2 || told[1] != "new" {
		t.Fatalf("got %v, %v; asked %d times, told %q", got, err, *asked, told)
	}
	// The token before was approved before.
	same, _ := returning(old)
	if got, err := approve("acme", &left, func(context.Context, *oauth2.Token) error { return errFull }, same)(t.Context(), old); got != old || err != nil {
		t.Errorf("the same token again: %v, %v", got, err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(ErrClosed)
	if _, err := step(ended, nil); err != ErrClosed {
		t.Errorf("after the context's end: %v", err)
	}
}

func TestRetryStep(t *testing.T) {
	refused, cancelled := &Error{Status: 400}, &Error{Err: ErrClosed}
	s := snapshotOf(t, "new", time.Hour)
	for name, c := range map[string]struct {
		results []any
		tries   int
		want    error
		calls   int
	}{
		"works":                       {[]any{s}, 3, nil, 1},
		"works at last":               {[]any{errDown, errDown, s}, 3, nil, 3},
		"fails":                       {[]any{errDown}, 3, errDown, 3},
		"one try":                     {[]any{errDown}, 1, errDown, 1},
		"a refusal":                   {[]any{refused}, 3, refused, 1},
		"the flight was cancelled":    {[]any{cancelled}, 3, cancelled, 1},
		"429 without Retry-After":     {[]any{&Error{Status: 429}}, 3, nil, 1},
		"Retry-After beyond the time": {[]any{&Error{Status: 429, RetryAfter: time.Hour}}, 3, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p progress
				next, calls := returning(c.results...)
				_, err := retry(c.tries, time.Now().Add(time.Minute), &p, next)(t.Context(), nil)
				if *calls != c.calls || int(p.attempts.Load()) != c.calls || c.want != nil && err != c.want {
					t.Errorf("%d calls, error %v", *calls, err)
				}
			})
		})
	}
}

func TestAskStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var marked bool
		last := snapshotOf(t, "a", time.Hour)
		tok := &oauth2.Token{AccessToken: "a", Expiry: last.token.Expiry}
		src := TokenFunc(func(ctx context.Context) (*oauth2.Token, error) {
			marked = isTokenRequest(ctx)
			return tok, nil
		})
		step := ask(src, &facts{name: "acme"}, last, 0)
		if s, err := step(t.Context(), last); s != last || err != nil || !marked {
			t.Errorf("the same token: %v, %v; marked %v", s, err, marked)
		}
		tok = &oauth2.Token{AccessToken: "a", Expiry: last.token.Expiry.Add(30 * time.Minute)}
		if s, err := step(t.Context(), last); s == last || err != nil {
			t.Errorf("the token, prolonged: %v, %v", s, err)
		}
		tok = &oauth2.Token{AccessToken: "b", Expiry: time.Now().Add(-time.Second)}
		if _, err := step(t.Context(), last); !errors.Is(err, errExpired) {
			t.Errorf("an expired token: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		marked = false
		// retry looks into the error: one that was no *Error made it panic.
		_, err := retry(1, time.Now(), new(progress), step)(ended, nil)
		if e := (*Error)(nil); !errors.As(err, &e) || !errors.Is(err, context.Canceled) || marked {
			t.Errorf("after the context's end: %v", err)
		}
	})
}
