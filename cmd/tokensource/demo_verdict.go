package main

// What must hold. All is counted from the sandbox's ledger and the moments that
// a lane recorded, never from how fast anything went: on a busy machine callers
// wait longer, and the same must hold.

import (
	"fmt"
	"slices"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

const (
	// A wall clock may be corrected by that much during a run.
	clockStep = 50 * time.Millisecond

	// The Cache tries that often within one refresh.
	tries = 3
)

// verdict returns the promises that a lane of the library has broken.
func (l *lane) verdict(ledger sandbox.Counts) (broken []string) {
	broken = append(broken, l.failedRequests()...)
	if n := ledger.ReusedSingleUse; n > 0 {
		broken = append(broken, fmt.Sprintf("single-use tokens were presented for another session %d times", n))
	}
	issued, failed := l.needed(ledger)
	if ledger.TokensIssued > issued {
		broken = append(broken, fmt.Sprintf("%d tokens were fetched where %d were needed", ledger.TokensIssued, issued))
	}
	if n := ledger.TokenRequests - ledger.TokensIssued; n > failed {
		broken = append(broken, fmt.Sprintf("%d token requests failed where the outage explains %d", n, failed))
	}
	for i := range broken {
		broken[i] = string(l.provider) + ": " + broken[i]
	}
	return broken
}

// failedRequests looks for requests that had no reason to fail.
func (l *lane) failedRequests() (broken []string) {
	var valid, unexplained []*request
	for _, r := range l.requests {
		switch {
		case !r.failed():
		case l.hadToken(r):
			valid = append(valid, r)
		case !l.explained(r):
			unexplained = append(unexplained, r)
		}
	}
	tell := func(requests []*request, what string) {
		if len(requests) > 0 {
			broken = append(broken, fmt.Sprintf("%d of %d requests failed %s; the first: %s",
				len(requests), len(l.requests), what, requests[0].failure()))
		}
	}
	tell(valid, "although a valid token existed")
	tell(unexplained, "for which none of the demo's faults is a reason")
	return broken
}

// hadToken reports whether a valid token existed all the while. A single-use
// token exists for its own request only, which has it once it leaves; it was
// issued after the revocation unless the request overlaps that.
func (l *lane) hadToken(r *request) bool {
	if l.single {
		return r.attempts > 0 && !r.overlaps(l.revoked)
	}
	return slices.ContainsFunc(l.tokens, func(t token) bool {
		usable := span{t.got, t.expiry.Add(-l.scenario.margin())}
		dead := t.asked.Before(l.revoked.end) && r.end.After(l.revoked.begin)
		return !dead && !r.begin.Before(usable.begin) && !r.end.After(usable.end)
	})
}

// explained reports whether a fault of the demo is a reason for the failure of
// a request that had no valid token.
func (l *lane) explained(r *request) bool {
	// The outage is felt until the last failure that began in it is forgotten.
	outage := l.outage
	for _, f := range l.failures {
		if f.begin.Before(l.outage.end) && f.end.After(outage.end) {
			outage.end = f.end
		}
	}
	outage.end = outage.end.Add(retryAfter)
	if r.overlaps(outage) {
		return true
	}
	// A token that was on its way during the revocation may have arrived dead.
	// The library replaces it as well, but not within a second of the last.
	return slices.ContainsFunc(l.tokens, func(t token) bool {
		return t.asked.Before(l.revoked.end) && t.got.After(l.revoked.begin) &&
			r.overlaps(span{l.revoked.begin, t.got.Add(retryAfter)})
	})
}

// needed returns the least number of tokens that serve the requests, and how
// many token requests the outage may have spoilt.
func (l *lane) needed(ledger sandbox.Counts) (issued, failed int) {
	// A refresh that meets a 503 comes again after Retry-After, not before.
	failed = 1 + int(l.outage.end.Sub(l.outage.begin)/retryAfter)
	if l.single {
		// Every request needs a token of its own, and another where that was
		// rejected. In the outage each of them tries for itself.
		failed = 0
		for _, r := range l.requests {
			if r.overlaps(l.outage) {
				failed += tries
			}
		}
		return len(l.requests) + ledger.Rejected, failed
	}
	if l.provider == sandbox.BlinkLegacy {
		failed++ // a revoked token cannot be refreshed; a new one is created then
	}
	// The end of the run may have cut off one more refresh.
	tokens := slices.Clone(l.tokens)
	if n := len(l.tokenRequests); n > 0 && ledger.TokensIssued > len(tokens) {
		tokens = append(tokens, token{asked: l.tokenRequests[n-1].begin})
	}
	// One token to begin with, and one for every token that was to be replaced:
	// because its early window had opened, or because it had been revoked.
	for i, t := range tokens {
		if i == 0 {
			issued++
			continue
		}
		last := tokens[i-1]
		due := !t.asked.Before(last.expiry.Add(-l.scenario.earlyWindow() - clockStep))
		revoked := last.asked.Before(l.revoked.end) && !t.asked.Before(l.revoked.begin)
		if due || revoked {
			issued++
		}
	}
	return issued, failed
}
