package tokensource

// What a Cache tells: events as they happen, its status when asked, and how its
// hooks are called.

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/guard"
)

// EventKind says what happened in a [Cache].
type EventKind string

const (
	EventFetched     EventKind = "fetched"      // a new token is there
	EventLoaded      EventKind = "loaded"       // another process's token was taken from the Store
	EventUnchanged   EventKind = "unchanged"    // the source returned the token that it had returned before; Err says what to do
	EventFailed      EventKind = "failed"       // a refresh failed; Err says why
	EventServed      EventKind = "served"       // a caller got the valid token while it is being refreshed
	EventWaited      EventKind = "waited"       // a caller waited for a token; Duration says how long, Err why it got none
	EventInvalidated EventKind = "invalidated"  // a rejected token was forgotten
	EventHeld        EventKind = "held"         // a call failed at once, or a rejected token was kept, since the last attempt is too recent
	EventStoreFailed EventKind = "store failed" // the Store did not work; the process went on without it
)

var errUnchanged = errors.New("the Source returned the token that it had returned before, so it caches by itself: give the Cache what is underneath it")

var errFromHook = errors.New("OnToken or OnEvent called the Cache, which has no shared valid token and waits for the hook: use the token that OnToken is given")

// Event is what OnEvent is told, for metrics and traces. It never holds a
// secret.
type Event struct {
	Kind      EventKind
	Provider  string        // as in [Error]
	Err       error         // the cause, if there is one
	Duration  time.Duration // of a refresh that ended, or of a wait
	ExpiresIn time.Duration // until the token in question expires; 0 if there is none, it never does or has
	Attempts  int           // token requests of a refresh that ended
}

// LogValue makes an Event one group of attributes, without those that are zero.
func (e Event) LogValue() slog.Value {
	var cause string // as text: other fields of a foreign error are not for a log
	if e.Err != nil {
		cause = e.Err.Error()
	}
	attrs := []slog.Attr{
		slog.String("kind", string(e.Kind)),
		slog.String("provider", e.Provider),
		slog.String("error", cause),
		slog.Duration("duration", e.Duration),
		slog.Duration("expires_in", e.ExpiresIn),
		slog.Int("attempts", e.Attempts),
	}
	return slog.GroupValue(slices.DeleteFunc(attrs, func(a slog.Attr) bool {
		return slices.Contains([]any{"", time.Duration(0), int64(0)}, a.Value.Any())
	})...)
}

// Status is what a [Cache] knows, for readiness probes and pages.
type Status struct {
	Provider    string    // as in [Error]
	Valid       bool      // there is a token for the next call
	Expiry      time.Time // the token's; zero if there is none or it never expires
	NextRefresh time.Time // when the token is refreshed, or that is tried again; zero if there is no token or it never expires
	HeldUntil   time.Time // calls without a token fail until then with Err; zero if none is held
	Ready       int       // single-use tokens that are ready
	Err         error     // of the last refresh, nil if that succeeded
}

// Status returns what the Cache knows. It makes no request, takes no lock and
// never waits.
func (c *Cache) Status() Status {
	now := time.Now()
	st := Status{Provider: c.about().name, Ready: int(c.ready.Load())}
	s, f := c.current.Load(), c.failure.Load()
	st.Valid = s.valid(now) || st.Ready > 0
	if s != nil && !s.spent.Load() {
		st.Expiry = s.token.Expiry
		if s.life != never {
			st.NextRefresh = now.Add(s.refreshes() - s.age(now)).Round(0)
		}
	}
	if f != nil {
		st.Err = f.err
		if left := f.left(now, s.valid(now)); left > 0 {
			st.HeldUntil = now.Add(left).Round(0)
		}
	}
	return st
}

// tell calls OnEvent, unless the Cache is closed. It must not be called with c.mu
// held.
func (c *Cache) tell(ctx context.Context, e Event) {
	if e.Kind == "" || c.OnEvent == nil || c.calledFromHook() { // telling it what comes of its own calls would not end
		return
	}
	e.Provider = c.about().name
	c.callHook(func() error { c.OnEvent(ctx, e); return nil })
}

func (c *Cache) callOnToken(ctx context.Context, tok *oauth2.Token) error {
	return c.callHook(func() error { return c.OnToken(ctx, tok) })
}

// callHook has a name that is found on the stack: nothing else shows that a call of
// the Cache comes from within a hook.
func (c *Cache) callHook(hook func() error) error {
	if !c.begin() {
		return ErrClosed
	}
	defer c.end()
	c.inHooks.Add(1)
	defer c.inHooks.Add(-1)
	return hook()
}

// calledFromHook reports whether a call of the Cache comes from within OnEvent or
// OnToken. It must not wait for a refresh, which waits for the hook.
func (c *Cache) calledFromHook() bool {
	return c.inHooks.Load() > 0 && guard.CalledFrom("tokensource.(*Cache).callHook")
}
