package tokensource_test

// OnToken: a program learns of each new token before any caller sees it, and no
// token is lost where that fails.

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"golang.org/x/oauth2"
)

// hook saves tokens; its disk is full for the calls from first to last.
type hook struct {
	takes       time.Duration
	first, last int

	mu   sync.Mutex
	told []string
}

var errDiskFull = errors.New("disk full")

func (h *hook) onToken(_ context.Context, tok *oauth2.Token) error {
	time.Sleep(h.takes)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, tok.AccessToken)
	tok.AccessToken, tok.Expiry = "scribbled over", time.Time{} // its own copy
	if call := len(h.told); h.first <= call && call <= h.last {
		return errDiskFull
	}
	return nil
}

func (h *hook) wantTold(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.told, want) {
		t.Fatalf("OnToken was told %q, want %q", h.told, want)
	}
}

// golang/oauth2#84 (open since 2015), golang/go#77502: nobody is told about a
// refreshed token, so nobody can save it.
func TestOnTokenIsToldEachNewTokenBeforeAnyCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{takes: time.Second}
		src := &scriptedSource{lifetime: 10 * time.Minute}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		for _, a := range crowd(t.Context(), cache, 5) {
			if a.err != nil || a.access != "token-1" || a.waited != h.takes {
				t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
			}
		}
		h.wantTold(t, "token-1")
		for len(src.calls()) == 1 { // until the timer's refresh
			time.Sleep(500 * time.Millisecond)
			wantToken(t, cache, "token-1")
		}
		h.wantTold(t, "token-1")
		time.Sleep(h.takes)
		h.wantTold(t, "token-1", "token-2")
		wantToken(t, cache, "token-2")
	})
}

func TestOnTokenErrorKeepsTheTokenBackAndCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 4}
		src := &scriptedSource{lifetime: time.Hour}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		for range h.last {
			for _, a := range crowd(t.Context(), cache, 5) {
				if e := asError(t, a.err); !errors.Is(e, errDiskFull) || e.Temporary() {
					t.Fatalf("got %q, %v", a.access, a.err)
				}
			}
			time.Sleep(10 * time.Second) // longer than the holds: 1, 2, 4 and 8 s
		}
		wantToken(t, cache, "token-1")
		wantCalls(t, src, 1)
		h.wantTold(t, "token-1", "token-1", "token-1", "token-1", "token-1")
	})
}

func TestOnTokenErrorOfAnEarlyRefreshLeavesTheValidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 2, last: 4}
		src := &scriptedSource{lifetime: 10 * time.Minute}
		cache := &tokensource.Cache{Source: src, OnToken: h.onToken}
		defer cache.Close()
		wantToken(t, cache, "token-1")
		time.Sleep(time.Until(tokensource.WindowOpens(cache)) + 2*time.Second)
		wantToken(t, cache, "token-1")
		time.Sleep(10 * time.Second) // the holds: 1, 2 and 4 s
		wantToken(t, cache, "token-2")
		wantCalls(t, src, 2)
		h.wantTold(t, "token-1", "token-2", "token-2", "token-2", "token-2")
	})
}

// A token that was kept back until it expired is no use.
func TestOnTokenThatFailsUntilTheTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 1}
		cache := &tokensource.Cache{Source: &scriptedSource{lifetime: 10 * time.Minute}, OnToken: h.onToken}
		defer cache.Close()
		ask(t.Context(), cache)
		time.Sleep(time.Hour)
		wantToken(t, cache, "token-2")
		h.wantTold(t, "token-1", "token-2")
	})
}

// A hook that hangs is left like a source that does, and its late answer counts.
// A hook is never called with a context that has ended: what it would save with
// it would not be saved.
func TestOnTokenAndFetchTimeout(t *testing.T) {
	for name, c := range map[string]struct{ source, hook time.Duration }{
		"the hook hangs": {0, time.Minute},
		"the source answers after the fetch's end":    {time.Minute, 0},
		"the source uses up most of the fetch's time": {29 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hook{takes: c.hook}
				src := &scriptedSource{lifetime: time.Hour, latency: c.source}
				cache := &tokensource.Cache{Source: contextless{src}, OnToken: func(ctx context.Context, tok *oauth2.Token) error {
					if ctx.Err() != nil {
						t.Errorf("OnToken was called with a context that had ended: %v", context.Cause(ctx))
					}
					return h.onToken(ctx, tok)
				}}
				defer cache.Close()
				if a := ask(t.Context(), cache); !errors.Is(a.err, context.DeadlineExceeded) || a.waited != 30*time.Second {
					t.Fatalf("got %q, %v after %v", a.access, a.err, a.waited)
				}
				time.Sleep(time.Minute)
				wantToken(t, cache, "token-1")
				wantCalls(t, src, 1)
				h.wantTold(t, "token-1")
			})
		})
	}
}

func TestOnTokenOfASingleUseToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{first: 1, last: 1}
		cache := &tokensource.Cache{Source: newFlinksPay(0, 0).Flinks, OnToken: h.onToken}
		asError(t, ask(t.Context(), cache).err)
		time.Sleep(time.Second)
		wantToken(t, cache, "token-2") // the first was nobody's and is not kept
		wantToken(t, cache, "token-3")
		h.wantTold(t, "token-1", "token-2", "token-3")
	})
}
