package main

import (
	"math"
	"time"
)

// Window is what a library's defaults make of a token's lifetime, for one
// caller and a token endpoint that answers at once.
type Window struct {
	Library   string  `json:"library"`
	LifetimeS float64 `json:"lifetime_s"`
	Calls     int     `json:"calls"`
	Requests  int     `json:"token_requests"`

	PerThousand float64 `json:"token_requests_per_1000_calls"`
	LeastLeftS  float64 `json:"least_time_left_on_a_token_s"`
}

const (
	windowPeriod = 99 * time.Millisecond // so that no call is due at the very moment of an expiry
	windowCalls  = 10_000                // at least
)

var windowLifetimes = []time.Duration{2 * time.Second, 299 * time.Second, 1800 * time.Second}

// leastPerThousand is what no cache can do with less: each token serves as many
// calls as there are in its lifetime.
func leastPerThousand(lifetime time.Duration) float64 {
	return 1000 / math.Ceil(lifetime.Seconds()/windowPeriod.Seconds())
}

func window(l library, lifetime time.Duration, lifetimes int) Window {
	e := &endpoint{lifetime: lifetime}
	src := l.virtual(e.fetch)
	w := Window{Library: l.name, LifetimeS: lifetime.Seconds(), LeastLeftS: lifetime.Seconds()}
	load{
		workers:  1,
		period:   windowPeriod,
		duration: max(time.Duration(lifetimes)*lifetime, windowCalls*windowPeriod),
	}.run(src, func(c call) {
		w.Calls++
		w.LeastLeftS = min(w.LeastLeftS, e.left(c.access).Seconds())
	})
	w.Requests = len(e.asked())
	w.PerThousand = 1000 * float64(w.Requests) / float64(w.Calls)
	return w
}
