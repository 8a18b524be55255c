package page

// What a Cache told, as far as the page needs it: the Cache itself forgets.

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	shown    = time.Hour
	maxMarks = 4096 // of a hold of 1 s for an hour, and more
)

// History keeps the refreshes of the last hour and counts what happened. Its
// memory is bounded. The zero value is ready for use.
type History struct {
	mu      sync.Mutex
	counts  map[outcome]int
	answers map[int]int // HTTP status → requests
	marks   []mark      // a ring once it is full,
	oldest  int         // which begins here
	recent
}

// outcome tells an event from others of its kind: EventWaited and EventHeld
// have an error or none.
type outcome struct {
	kind tokensource.EventKind
	err  bool
}

// mark is a refresh that ended.
type mark struct {
	at   time.Time
	kind tokensource.EventKind
}

// recent is the current run of refreshes.
type recent struct {
	token   time.Time // when the last new token came
	success time.Time // the end of the last refresh that succeeded,
	took    time.Duration
	failing time.Time // the end of the first that failed since then,
	failed  int       // and how many did
}

// OnEvent is for the Cache's field of that name.
func (h *History) OnEvent(_ context.Context, e tokensource.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = make(map[outcome]int)
	}
	h.counts[outcome{e.Kind, e.Err != nil}]++
	now := time.Now()
	switch e.Kind {
	case tokensource.EventFailed:
		if h.failed++; h.failed == 1 {
			h.failing = now
		}
	case tokensource.EventFetched, tokensource.EventLoaded:
		h.token = now
		fallthrough
	case tokensource.EventUnchanged:
		h.success, h.took, h.failed = now, e.Duration, 0
	default:
		return
	}
	m := mark{now, e.Kind}
	if len(h.marks) < maxMarks {
		h.marks = append(h.marks, m)
		return
	}
	h.marks[h.oldest] = m
	h.oldest = (h.oldest + 1) % maxMarks
}

// Answered counts a request for a token by the HTTP status of its answer. Most
// requests find a valid token, of which the Cache tells nothing.
func (h *History) Answered(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers == nil {
		h.answers = make(map[int]int)
	}
	h.answers[status]++
}

// record is a copy of what a History has.
type record struct {
	counts  map[outcome]int
	answers map[int]int
	marks   []mark // of the last hour, the oldest first
	full    bool   // there may have been more
	recent
}

func (h *History) read(now time.Time) record {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := record{counts: maps.Clone(h.counts), answers: maps.Clone(h.answers), recent: h.recent}
	for i := range h.marks {
		if m := h.marks[(h.oldest+i)%len(h.marks)]; now.Sub(m.at) < shown {
			r.marks = append(r.marks, m)
		}
	}
	r.full = len(r.marks) == maxMarks
	return r
}
