package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is a steady stream of calls. Each worker has a schedule, which does not
// wait for slow answers: a call counts from when it was due, or else a worker
// that is held up would hide the calls that it could not make.
type load struct {
	workers  int
	period   time.Duration // of one worker; they are spread over it evenly
	duration time.Duration
}

type call struct {
	due    time.Duration // since the start
	took   time.Duration // from then to the answer
	access string
	err    error
}

// run shows observe one call at a time.
func (l load) run(src source, observe func(call)) {
	var mu sync.Mutex
	var workers sync.WaitGroup
	start := time.Now()
	for w := range l.workers {
		workers.Go(func() {
			first := l.period * time.Duration(w) / time.Duration(l.workers)
			for due := first; due < l.duration; due += l.period {
				time.Sleep(time.Until(start.Add(due)))
				access, err := src.token(context.Background())
				c := call{due, time.Since(start) - due, access, err}
				mu.Lock()
				observe(c)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
}

// latency is how long calls took, in milliseconds.
type latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func latencyOf(took []time.Duration) latency {
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return milliseconds(took[min(int(share*float64(len(took))), len(took)-1)])
	}
	return latency{at(.5), at(.99), at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
