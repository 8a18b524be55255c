package demo

// What must hold, and why each token request was made. All is counted from the
// sandbox's ledger and the moments that a lane recorded, not from how fast
// anything went. Only a machine that held up everything excuses a failed request.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tokensource-go/tokensource/sandbox"
)

// verdict says why a lane of the library made its token requests, and returns
// the promises that were broken.
func (l *lane) verdict(ledger sandbox.Counts) (why string, broken []string) {
	failed := slices.DeleteFunc(slices.Clone(l.requests), l.allowed)
	if n := len(failed); n > 0 {
		broken = append(broken, fmt.Sprintf("%s: %d of %d requests failed although a valid token existed; the first: %s",
			l.name, n, len(l.requests), failed[0].status))
	}
	if n := ledger.ReusedSingleUse; n > 0 {
		broken = append(broken, fmt.Sprintf("%s: single-use tokens were presented for another session %d times", l.name, n))
	}
	c := explain(l.tokenRequests, l.scenario, l.sessions(), false)
	if l.sessions() { // each needs a token, and another if that was rejected
		spare := max(0, c[session]-len(l.requests))
		c[session], c[revoked] = c[session]-spare, min(spare, ledger.Rejected)
		if c[inStock] = spare - c[revoked]; !l.scenario.excusable(l.heldUp) { // else ready ones grow too old
			c[noReason] += max(0, c[inStock]-2*l.ready) // some were revoked unused, some are left
		}
	}
	if c[noReason] += max(0, ledger.TokenRequests-len(l.tokenRequests)); c[noReason] > 0 {
		broken = append(broken, fmt.Sprintf("%s: %d of %d token requests had no reason", l.name, c[noReason], ledger.TokenRequests))
	}
	return c.String(), broken
}

// allowed reports whether a request succeeded, or the library cannot help that
// it failed.
func (l *lane) allowed(r *request) bool {
	switch s := l.scenario; {
	case !r.failed():
		return true
	case r.err == nil && !r.rejected(): // whatever its token was
		return false
	case s.excusable(l.heldUp):
		return true
	case !l.sessions():
		return false
	case r.err != nil: // a session has a token of its own, of which there is none in an outage
		return r.overlaps(span{s.down().Begin, s.down().End.Add(2 * retryAfter)})
	default:
		return false
	}
}

// causes counts token requests by why they were made.
type causes [10]int

const (
	first = iota
	session
	revoked
	due
	inStock
	refused
	lost
	unsaved
	cutOff
	noReason
)

var causeNames = [...]string{"first", "sessions", "revoked", "due", "ready", "refused", "as the store had lost the token or its lock",
	"whose token the store did not take", "cut", "for no reason"}

func (c causes) String() string {
	var texts []string
	for cause, n := range c {
		if n > 0 {
			texts = append(texts, fmt.Sprint(n, " ", causeNames[cause]))
		}
	}
	return strings.Join(texts, ", ")
}

// explain says why token requests were made; those of sessions are not told
// apart.
//
// A shared token is due to be replaced when the early window of some process
// opens. One that asks holds the lock and has looked into the store before. What
// it found there is what the store did, not the library: a token that was saved
// and is not there was lost, as with FLUSHALL, which takes the lock away as well.
func explain(all []*tokenRequest, s *scenario, sessions, mayLose bool) (c causes) {
	var last, denied *tokenRequest // the last whose token all can have, the last that was refused
	for _, t := range slices.SortedFunc(slices.Values(all), func(a, b *tokenRequest) int { return a.Begin.Compare(b.Begin) }) {
		beside := mayLose && slices.ContainsFunc(all, func(o *tokenRequest) bool { return o != t && o.overlaps(t.span) })
		var cause int
		switch {
		case t.Cut:
			cause = cutOff
		case !t.Good && t.overlaps(s.down()) && (sessions || denied == nil || t.Begin.Sub(denied.End) >= retryAfter-clockStep):
			cause, denied = refused, t
		case !t.Good || t.Unsaved && !t.StoreDown && !beside:
			cause = noReason
		case sessions:
			cause = session
		case t.Unsaved:
			cause = unsaved
		case last == nil:
			cause = first
		case last.Begin.Before(s.revoked().End) && !t.Begin.Before(s.revoked().Begin):
			cause = revoked
		case t.Begin.Sub(last.Begin) >= s.due():
			cause = due
		case mayLose && t.Missing || beside:
			cause = lost
		default:
			cause = noReason
		}
		if c[cause]++; t.Good && !t.Unsaved {
			last = t
		}
	}
	return c
}
