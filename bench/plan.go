package main

import (
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// plan is how much is measured.
type plan struct {
	timing     timing
	workers    []int
	endpoints  []time.Duration // their latencies
	lifetimes  int             // of rollovers
	check      int             // lifetimes
	windows    int             // lifetimes
	tenants    []int
	longTokens int // caches
	lapsed     int // caches
	fleet      []int
	fleetFor   int // lifetimes
}

var fullPlan = plan{
	timing:     timing{rounds: 9, each: 150 * time.Millisecond},
	workers:    []int{64, 1000},
	endpoints:  []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second},
	lifetimes:  4,
	check:      4,
	windows:    20,
	tenants:    []int{1, 1000, 1_000_000},
	longTokens: 1000,
	lapsed:     100_000,
	fleet:      []int{1, 10, 50},
	fleetFor:   10,
}

// quickPlan has every scenario, smaller.
var quickPlan = plan{
	timing:     timing{rounds: 5, each: 20 * time.Millisecond},
	workers:    []int{64},
	endpoints:  []time.Duration{500 * time.Millisecond, 2 * time.Second},
	lifetimes:  2,
	check:      1,
	windows:    5,
	tenants:    []int{1, 1000, 20_000},
	longTokens: 1000,
	lapsed:     2000,
	fleet:      []int{1, 10},
	fleetFor:   3,
}

// step is a part of a run that the progress bar counts.
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
		steps = append(steps, tenantsStep(l, p.longTokens, longToken))
	}
	for _, n := range p.tenants {
		for _, l := range libraries() {
			steps = append(steps, tenantsStep(l, n, shortToken))
		}
	}
	steps = append(steps, step{"tenants, lapsed", func(t *testing.T, r *Results) error {
		var row Tenants
		var err error
		virtually(t, func() { row, err = lapsed(p.lapsed) })
		r.Tenants = append(r.Tenants, row)
		return err
	}})
	rollover := func(answer time.Duration, calls load) {
		for _, l := range libraries() {
			steps = append(steps, virtualStep("rollover", func(r *Results) {
				r.Rollover = append(r.Rollover, virtualRollover(l, answer, calls))
			}))
		}
	}
	for _, workers := range p.workers {
		for _, answer := range p.endpoints {
			rollover(answer, steady(workers, p.lifetimes))
		}
	}
	rollover(picturedEndpoint, seldom(5*p.lifetimes))
	for _, l := range libraries() {
		for _, when := range []string{atRenewal, atStart} {
			steps = append(steps, virtualStep("outage", func(r *Results) {
				r.Outage = append(r.Outage, outage(l, when))
			}))
		}
		for _, lifetime := range windowLifetimes {
			steps = append(steps, virtualStep("windows", func(r *Results) {
				r.Window = append(r.Window, window(l, lifetime, p.windows))
			}))
		}
	}
	for _, processes := range p.fleet {
		for _, withStore := range []bool{true, false} {
			steps = append(steps, virtualStep("fleet", func(r *Results) {
				r.Fleet = append(r.Fleet, fleet(processes, p.fleetFor, withStore))
			}))
		}
	}
	for _, l := range libraries() {
		steps = append(steps, virtualStep("check", func(r *Results) {
			r.Check = append(r.Check, Check{Library: l.name, Virtual: checkRun(l, l.virtual, p.check)})
		}))
	}
	return append(steps, step{"check, real time", func(_ *testing.T, r *Results) error {
		var all sync.WaitGroup
		for i, l := range libraries() { // side by side: they sleep most of the time
			all.Go(func() { r.Check[i].Real = checkRun(l, l.open, p.check) })
		}
		all.Wait()
		return nil
	}})
}

func tenantsStep(l library, n, tokenBytes int) step {
	return step{"tenants", func(_ *testing.T, r *Results) error {
		row, err := tenants(l, n, tokenBytes)
		r.Tenants = append(r.Tenants, row)
		return err
	}}
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

// run measures all of the plan.
func (p plan) run(t *testing.T, progress io.Writer) (*Results, error) {
	steps := p.steps()
	bar := progressbar.NewOptions(len(steps),
		progressbar.OptionSetWriter(progress),
		progressbar.OptionSetDescription("measuring"),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	r := newResults()
	others, all := processorTime()
	for _, s := range steps {
		bar.Describe(s.name)
		if err := s.run(t, r); err != nil {
			return nil, err
		}
		bar.Add(1)
	}
	r.TookS = time.Since(r.Date).Seconds()
	if othersAfter, allAfter := processorTime(); allAfter > all {
		r.Machine.Busy = float64(othersAfter-others) / float64(allAfter-all)
	}
	return r, bar.Finish()
}

// terminal is where a progress bar can be drawn; nowhere if that is a file.
func terminal() io.Writer {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return os.Stderr
	}
	return io.Discard
}
