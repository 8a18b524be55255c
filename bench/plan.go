package main

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// plan is how much is measured.
type plan struct {
	timing    timing
	endpoints []time.Duration // their latencies
	lifetimes int             // of rollovers
	windows   int             // lifetimes
	tenants   int             // caches
}

var fullPlan = plan{
	timing:    timing{rounds: 40, each: 25 * time.Millisecond},
	endpoints: []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second},
	lifetimes: 4,
	windows:   20,
	tenants:   100_000,
}

// quickPlan has every scenario, smaller.
var quickPlan = plan{
	timing:    timing{rounds: 5, each: 20 * time.Millisecond},
	endpoints: []time.Duration{500 * time.Millisecond, 2 * time.Second},
	lifetimes: 2,
	windows:   5,
	tenants:   20_000,
}

// step is a part of a run.
type step struct {
	name string
	run  func(t *testing.T, r *Results) error
}

// steps are in this order so that times are measured while the heap is small
// and nothing else runs.
func (p plan) steps() []step {
	steps := []step{
		{"read", func(_ *testing.T, r *Results) error {
			r.Read = reads(p.timing)
			return nil
		}},
		{"request", func(_ *testing.T, r *Results) (err error) {
			r.Request, err = requests(p.timing)
			return err
		}},
	}
	for _, l := range libraries() {
		steps = append(steps, step{"tenants", func(_ *testing.T, r *Results) error {
			row, err := tenants(l, p.tenants)
			r.Tenants = append(r.Tenants, row)
			return err
		}})
	}
	for _, answer := range p.endpoints {
		for _, l := range libraries() {
			steps = append(steps, virtualStep("rollover", func(r *Results) {
				r.Rollover = append(r.Rollover, rollover(l, answer, p.lifetimes))
			}))
		}
	}
	for _, l := range libraries() {
		for _, when := range []string{atRenewal, atStart} {
			steps = append(steps, virtualStep("outage", func(r *Results) {
				r.Outage = append(r.Outage, medianOutage(l, when))
			}))
		}
	}
	for _, l := range libraries() {
		for _, lifetime := range windowLifetimes {
			steps = append(steps, virtualStep("windows", func(r *Results) {
				r.Window = append(r.Window, window(l, lifetime, p.windows))
			}))
		}
	}
	return steps
}

func virtualStep(name string, run func(r *Results)) step {
	return step{name + ", virtual time", func(t *testing.T, r *Results) error {
		virtually(t, func() { run(r) })
		return nil
	}}
}

// virtually runs f in a bubble, whose clock moves on as soon as everybody waits,
// and what f left in the background to its end: a bubble must be empty then.
func virtually(t *testing.T, f func()) {
	synctest.Test(t, func(*testing.T) {
		f()
		time.Sleep(24 * time.Hour)
	})
}

// run measures all of the plan, and tells progress what.
func (p plan) run(t *testing.T, progress io.Writer) (*Results, error) {
	r := newResults()
	others, all := processorTime()
	steps := p.steps()
	for i, s := range steps {
		if i == 0 || s.name != steps[i-1].name {
			fmt.Fprintf(progress, "%d of %d: %s\n", i+1, len(steps), s.name)
		}
		if err := s.run(t, r); err != nil {
			return nil, err
		}
	}
	r.TookS = time.Since(r.Date).Seconds()
	if othersAfter, allAfter := processorTime(); allAfter > all {
		r.Machine.Busy = float64(othersAfter-others) / float64(allAfter-all)
	}
	return r, nil
}
