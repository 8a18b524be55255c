package main

import (
	"context"
	"time"
)

// Rollover is what callers notice when one token takes over from another. In
// virtual time a call that does not wait takes 0.
type Rollover struct {
	Library    string  `json:"library"`
	EndpointMS float64 `json:"endpoint_ms"`
	Calls      int     `json:"calls"`
	Waited     int     `json:"calls_that_waited"`
	latency
	Requests int `json:"token_requests"` // without the first, which cannot be avoided
	Expired  int `json:"calls_given_an_expired_token"`

	// Worst is the slowest call by the second in which it was due, in
	// milliseconds: for the picture.
	Worst []float64 `json:"slowest_call_each_second_ms,omitempty"`
}

const rolloverLifetime = 600 * time.Second // as Blackhawk's

const (
	picturedWorkers  = 64
	picturedEndpoint = 500 * time.Millisecond // the one whose course over time is in the picture
)

// rollover is a load of one call a second per worker.
func rollover(l library, answer time.Duration, lifetimes int) Rollover {
	e := &endpoint{latency: answer, lifetime: rolloverLifetime}
	src := l.virtual(e.fetch)
	src.token(context.Background()) // without one to begin with, everybody must wait
	r := Rollover{Library: l.name, EndpointMS: milliseconds(answer)}
	calls := load{workers: picturedWorkers, period: time.Second, duration: time.Duration(lifetimes) * rolloverLifetime}
	worst := make([]float64, calls.duration/time.Second)
	var took []time.Duration
	calls.run(src, func(c call) {
		took = append(took, c.took)
		if c.took > 0 {
			r.Waited++
		}
		if e.left(c.access) < 0 {
			r.Expired++
		}
		second := c.due / time.Second
		worst[second] = max(worst[second], milliseconds(c.took))
	})
	if answer == picturedEndpoint {
		r.Worst = worst
	}
	r.Calls, r.latency, r.Requests = len(took), latencyOf(took), len(e.asked())-1
	return r
}
