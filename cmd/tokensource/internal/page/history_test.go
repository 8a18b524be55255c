package page

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
)

func tell(h *History, kind tokensource.EventKind, err error) {
	h.OnEvent(context.Background(), tokensource.Event{Kind: kind, Err: err, Duration: time.Second})
}

// The marks of the last hour stay, in order, whatever happened before.
func TestHistoryRing(t *testing.T) {
	for name, tt := range map[string]struct {
		every, during time.Duration
		want          int
		full          bool
	}{
		"few":             {time.Minute, 30 * time.Minute, 30, false},
		"older ones":      {time.Minute, 3 * time.Hour, 59, false}, // the latest is a minute old
		"a fast source":   {time.Second, 3 * time.Hour, 3599, false},
		"a faster one":    {time.Second / 2, 3 * time.Hour, maxMarks, true},
		"exactly as many": {time.Minute, 60 * time.Minute, 59, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(History)
				for range tt.during / tt.every {
					tell(h, tokensource.EventFetched, nil)
					time.Sleep(tt.every)
				}
				r := h.read(time.Now())
				if len(r.marks) != tt.want || r.full != tt.full {
					t.Errorf("%d marks, full %v; want %d, %v", len(r.marks), r.full, tt.want, tt.full)
				}
				for i, m := range r.marks[1:] {
					if m.at.Sub(r.marks[i].at) != tt.every {
						t.Fatalf("mark %d is %v after the one before", i+1, m.at.Sub(r.marks[i].at))
					}
				}
				if got := r.counts[outcome{tokensource.EventFetched, false}]; got != int(tt.during/tt.every) {
					t.Errorf("%d counted", got)
				}
			})
		})
	}
}

// A run of failures begins with the first and ends with a success; what is no
// refresh changes nothing of it.
func TestHistoryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := new(History), errors.New("no")
		begin := time.Now()
		tell(h, tokensource.EventFetched, nil)
		time.Sleep(time.Minute)
		for range 3 {
			tell(h, tokensource.EventFailed, err)
			tell(h, tokensource.EventHeld, err)
			time.Sleep(time.Second)
		}
		r := h.read(time.Now())
		if r.failed != 3 || !r.failing.Equal(begin.Add(time.Minute)) || !r.success.Equal(begin) || len(r.marks) != 4 {
			t.Errorf("in the outage: %+v", r.recent)
		}
		tell(h, tokensource.EventUnchanged, nil)
		if r = h.read(time.Now()); r.failed != 0 || !r.token.Equal(begin) || !r.success.Equal(time.Now()) {
			t.Errorf("after it: %+v", r.recent)
		}
		if r.counts[outcome{tokensource.EventHeld, true}] != 3 {
			t.Errorf("counts %v", r.counts)
		}
	})
}

// A day of ten events a second takes no more memory than an hour of them.
func TestHistoryMemory(t *testing.T) {
	h := new(History)
	size := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	fill := func() {
		for range maxMarks {
			tell(h, tokensource.EventFailed, errors.New("an error of its own"))
			h.Answered(http.StatusServiceUnavailable)
		}
	}
	fill()
	before := size()
	for range 20 {
		fill()
	}
	if grown := int64(size()) - int64(before); grown > 64<<10 {
		t.Errorf("it grew by %d bytes", grown)
	}
	runtime.KeepAlive(h)
}

// Caches tell and pages read at the same time.
func TestHistoryConcurrent(t *testing.T) {
	h := new(History)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				tell(h, tokensource.EventFetched, nil)
				h.Answered(http.StatusOK)
				h.read(time.Now())
			}
		})
	}
	all.Wait()
	if r := h.read(time.Now()); r.counts[outcome{tokensource.EventFetched, false}] != 4000 || r.answers[200] != 4000 || len(r.marks) != 4000 {
		t.Errorf("%v %v, %d marks", r.counts, r.answers, len(r.marks))
	}
}
