package guard_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/internal/guard"
)

func TestGo(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		f    func() (int, error)
		want string
	}{
		"returns":              {func() (int, error) { return 7, nil }, ""},
		"fails":                {func() (int, error) { return 0, failed }, "failed"},
		"panics":               {func() (int, error) { panic("out of\n\x1b[31mrange") }, `panic: out of\n\x1b[31mrange (in `},
		"panics with an error": {func() (int, error) { panic(failed) }, "panic: failed"},
		"ends its goroutine":   {func() (int, error) { runtime.Goexit(); return 0, nil }, "runtime.Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			r := <-guard.Go(c.f)
			switch {
			case c.want == "":
				if r.Val != 7 || r.Err != nil {
					t.Errorf("got %+v", r)
				}
			case r.Err == nil || !strings.Contains(r.Err.Error(), c.want) || strings.Contains(r.Err.Error(), "\n"):
				t.Errorf("got %q, want one line with %q", r.Err, c.want)
			}
		})
	}
}

func TestPanicSaysWhere(t *testing.T) {
	r := <-guard.Go(func() (int, error) { return explode(), nil })
	if !strings.Contains(r.Err.Error(), "guard_test.explode, line ") {
		t.Errorf("got %q", r.Err)
	}
}

//go:noinline
func explode() int {
	var p *struct{ n int }
	return p.n
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		slow := func() (int, error) { time.Sleep(time.Minute); return 7, nil }
		start := time.Now()
		if v, err := guard.Await(ctx, slow); v != 0 || err != why || time.Since(start) != time.Second {
			t.Errorf("got %d, %v after %v", v, err, time.Since(start))
		}
		failing := func() (int, error) { return 0, errors.New("because the context ended") }
		if _, err := guard.Await(ctx, failing); err != why {
			t.Errorf("got %v", err)
		}
		if v, err := guard.Await(t.Context(), slow); v != 7 || err != nil {
			t.Errorf("got %d, %v", v, err)
		}
		time.Sleep(time.Minute)
	})
}

// A store that does not look at its context first saved an entry after its lock had
// been given back.
func TestAwaitCallsNothingTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := guard.Await(ctx, func() (int, error) {
			t.Error("called after the context had ended")
			return 0, nil
		})
		if err != context.Canceled {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
	})
}
