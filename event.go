package tokensource

import "time"

// EventKind says what happened in a [Cache].
type EventKind string

const (
	EventFetched     EventKind = "fetched"      // a new token is there
	EventLoaded      EventKind = "loaded"       // another process's token was taken from the Store
	EventFailed      EventKind = "failed"       // a refresh failed; Err says why
	EventServed      EventKind = "served"       // a caller got the valid token while it is being refreshed
	EventInvalidated EventKind = "invalidated"  // a rejected token was forgotten
	EventHeld        EventKind = "held"         // a call failed at once, or a rejected token was kept, since the last attempt is too recent
	EventStoreFailed EventKind = "store failed" // the Store did not work; the process went on without it
)

// Event is what OnEvent is told, for metrics and traces. It never holds a
// secret.
type Event struct {
	Kind      EventKind
	Provider  string        // blink, flinks, blackhawk; empty for a source that is not ours
	Err       error         // the cause, where there is one
	Duration  time.Duration // of the refresh, where one ended
	ExpiresIn time.Duration // until the token in question expires; 0 where there is none or it never does
}
