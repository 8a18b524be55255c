package main

import (
	"context"
	"time"
)

// Rollover is what callers notice when one token takes over from another. In
// virtual time a call that does not wait takes 0.
type Rollover struct {
	Library    string  `json:"library"`
	Workers    int     `json:"workers"`
	PeriodS    float64 `json:"period_s"` // of one worker's calls
	EndpointMS float64 `json:"endpoint_ms"`
	Calls      int     `json:"calls"`
	Waited     int     `json:"calls_that_waited"`
	latency
	Requests int `json:"token_requests"` // without the first, which nobody can avoid
	Expired  int `json:"calls_given_an_expired_token"`

	// Worst is the slowest call by the second in which it was due, in
	// milliseconds: for the picture.
	Worst []float64 `json:"slowest_call_each_second_ms,omitempty"`
}

const rolloverLifetime = 600 * time.Second // as Blackhawk's

// The one whose course over time is in the picture.
const (
	picturedWorkers  = 64
	picturedEndpoint = 500 * time.Millisecond
)

// steady is a load of one call a second per worker.
func steady(workers, lifetimes int) load {
	return load{workers: workers, period: time.Second, duration: time.Duration(lifetimes) * rolloverLifetime}
}

// seldom is one caller who finds the last token expired at each call, unless
// something renews it in between.
func seldom(lifetimes int) load {
	const period = rolloverLifetime * 11 / 10
	return load{workers: 1, period: period, duration: time.Duration(lifetimes) * period}
}

func virtualRollover(l library, answer time.Duration, calls load) Rollover {
	e := &endpoint{latency: answer, lifetime: rolloverLifetime}
	r := rollover(l.virtual(e.fetch, 0), e, 0, calls)
	r.Library = l.name
	if calls.workers != picturedWorkers || answer != picturedEndpoint {
		r.Worst = nil
	}
	return r
}

// rollover counts a call as waiting if it took longer than tolerance.
func rollover(src source, e *endpoint, tolerance time.Duration, l load) Rollover {
	src.token(context.Background()) // without one to begin with, everybody must wait
	r := Rollover{
		Workers:    l.workers,
		PeriodS:    l.period.Seconds(),
		EndpointMS: milliseconds(e.latency),
		Worst:      make([]float64, l.duration/time.Second),
	}
	var took []time.Duration
	l.run(src, func(c call) {
		took = append(took, c.took)
		if c.took > tolerance {
			r.Waited++
		}
		if e.left(c.access) < 0 {
			r.Expired++
		}
		second := c.due / time.Second
		r.Worst[second] = max(r.Worst[second], milliseconds(c.took))
	})
	r.Calls = len(took)
	r.latency = latencyOf(took)
	r.Requests = len(e.asked()) - 1
	return r
}

// Check is the same short load in virtual and in real time.
type Check struct {
	Library string   `json:"library"`
	Virtual Rollover `json:"virtual"`
	Real    Rollover `json:"real"`
}

// Where the early window can be set it is scaled to the short lifetime as its
// default is to the usual one.
const (
	checkLifetime = 3 * time.Second
	checkEndpoint = 200 * time.Millisecond
	// A call waited if it took this long: a late timer is no wait.
	checkTolerance = checkEndpoint / 2
)

var checkWindows = map[string]time.Duration{
	"x/oauth2":    10 * time.Second / (rolloverLifetime / checkLifetime),
	"Google auth": 225 * time.Second / (rolloverLifetime / checkLifetime),
}

func checkRun(l library, open func(fetch, time.Duration) source, lifetimes int) Rollover {
	e := &endpoint{latency: checkEndpoint, lifetime: checkLifetime}
	r := rollover(open(e.fetch, checkWindows[l.name]), e, checkTolerance, load{
		workers:  picturedWorkers,
		period:   100 * time.Millisecond,
		duration: time.Duration(lifetimes) * checkLifetime,
	})
	r.Library, r.Worst = l.name, nil
	return r
}
