package main

// What must hold in a fleet. A process that the machine holds up for seconds has
// its callers wait and its requests rejected, and one whose store answers too
// late goes on without it: the library can prevent neither. So each check asks
// whether that happened, by what was recorded, and nothing depends on how fast
// it went.

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// The longest that a provider of the library lets a token request take.
const requestTimeout = 15 * time.Second

// memberResult is what a process reports.
type memberResult struct {
	Counts   counts         `json:"counts"`
	Shared   []*sharedToken `json:"shared"`
	Unshared int            `json:"unshared"`
	Broken   []string       `json:"broken"`
}

// result is to be called when all has ended.
func (m *member) result() *memberResult {
	l := m.lane
	m.mu.Lock()
	defer m.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &memberResult{
		Counts:   counts{Requests: len(l.requests), Tokens: len(l.tokens)},
		Shared:   m.shared,
		Unshared: m.unshared,
		Broken:   m.faults,
	}
	if !m.asked.IsZero() {
		r.Unshared++ // cut off
	}
	for _, q := range l.requests {
		if !q.failed() {
			continue
		}
		r.Counts.Failed++
		if m.outlived(q) {
			r.Counts.LateFailed++
		} else {
			r.Broken = append(r.Broken, "a request failed: "+q.failure())
		}
	}
	for _, look := range m.waits {
		i, _ := slices.BinarySearchFunc(l.tokens, look.begin, func(t token, at time.Time) int { return t.got.Compare(at) })
		if i--; i < 0 {
			continue // there was no token yet
		}
		r.Counts.Waited++
		switch used := m.used(l.tokens[i]); {
		case look.end.Before(used.Add(-clockStep)):
			r.Broken = append(r.Broken, "a caller found no token although its process had a valid one")
		case m.wasLate(i):
			r.Counts.LateWaited++
		default:
			r.Broken = append(r.Broken, "a caller waited for a refresh that should have come earlier")
		}
	}
	return r
}

// outlived reports whether a failed request had a valid token when it began, or
// could have had one, and was held up until that had expired. A token is handed
// out with the margin ahead of it at least.
func (m *member) outlived(q *request) bool {
	took := q.end.Sub(q.begin)
	return q.status == http.StatusUnauthorized && took > m.lane.scenario.margin() || took > requestTimeout
}

// used is when the Cache ceases to hand out a token.
func (m *member) used(t token) time.Time { return t.expiry.Add(-m.lane.scenario.margin()) }

// wasLate reports whether the machine is the reason that token i was used up
// before there was another: the refresh took longer than half of the time that
// there is for it, or the process served no caller in the first half, so that
// it did not run.
func (m *member) wasLate(i int) bool {
	l := m.lane
	used := m.used(l.tokens[i])
	open := l.tokens[i].expiry.Add(l.scenario.latestRefresh() - l.scenario.Lifetime)
	half := used.Sub(open) / 2
	slow := i+1 == len(l.tokens) || l.tokens[i+1].got.Sub(l.tokens[i+1].asked) > half
	return slow || !slices.ContainsFunc(l.requests, func(q *request) bool {
		return !q.begin.Before(open) && q.end.Before(open.Add(half))
	})
}

// verdict counts the rollovers and returns the promises that were broken.
//
// A token is due to be replaced when the early window of some process opens,
// half a lifetime before its expiry at the earliest. Who asks for another holds
// the lock and has looked into the store before, so it replaces the latest
// token in there, and that was due. The number of token requests follows from
// the lifetimes of the tokens seen: one for the first, one for each that was
// due. More are explained only where the token could not reach the others: its
// store or its lock was too slow for it, its process was killed, or the end of
// the run cut it off.
func (f *fleet) verdict(processes []*process, ledger sandbox.Counts) (rollovers, unshared int, broken []string) {
	broken = []string{}
	var shared []*sharedToken
	for _, p := range processes {
		if p.killed {
			unshared += p.asked
			continue
		}
		shared = append(shared, p.result.Shared...)
		unshared += p.result.Unshared
		if all := p.result.Broken; len(all) > 0 {
			broken = append(broken, fmt.Sprintf("process %d: %s (the first of %d)", p.Number, all[0], len(all)))
		}
	}
	slices.SortFunc(shared, func(a, b *sharedToken) int { return a.Asked.Compare(b.Asked) })
	for i := 1; i < len(shared); i++ {
		if due := shared[i-1].Expiry.Add(-f.earlyWindow() - clockStep); !shared[i].Asked.Before(due) {
			rollovers++
		}
	}
	if needed := 1 + rollovers + unshared; ledger.TokenRequests > needed {
		broken = append(broken, fmt.Sprintf("%d token requests where %d were needed", ledger.TokenRequests, needed))
	}
	return rollovers, unshared, broken
}
