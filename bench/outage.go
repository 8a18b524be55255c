package main

import (
	"context"
	"slices"
	"time"
)

// Outage is what a failing token endpoint means to the endpoint and to callers.
type Outage struct {
	Library string `json:"library"`
	Case    string `json:"case"`

	// Of the token endpoint, from the beginning of its outage to its end.
	Requests int `json:"token_requests"`
	Peak     int `json:"most_token_requests_in_a_second"`

	// Of the application, from the beginning of the outage on. A bad call
	// failed, took more than a second, or was given an expired token.
	FailedValid int     `json:"calls_failed_while_a_token_was_valid"`
	Failed      int     `json:"calls_failed"`
	Slow        int     `json:"calls_over_1_s"`
	Expired     int     `json:"calls_given_an_expired_token"`
	Bad         int     `json:"bad_calls"`
	WorstMS     float64 `json:"slowest_call_ms"`

	// From the end of the outage.
	NewTokenMS float64 `json:"first_new_token_after_ms"`
	LastBadMS  float64 `json:"last_bad_call_due_after_ms"` // 0: none

	// By the second since the beginning of the outage, for the picture. A call
	// counts when it was due.
	RequestsEachSecond []int `json:"token_requests_each_second"`
	BadEachSecond      []int `json:"bad_calls_each_second"`
}

const (
	outageWorkers  = 64
	outageFor      = 10 * time.Second
	outageEndpoint = 50 * time.Millisecond // good or bad answer
	outageShown    = 40 * time.Second      // in the picture, from the beginning of the outage

	// The outage begins with the first renewal, whenever a library's defaults
	// have that, so that it meets each at its worst moment. A library that
	// gives up until the end of the token is followed past that.
	atRenewal         = "at renewal"
	atRenewalDuration = rolloverLifetime + time.Minute

	// It begins with the very first request: there is no token yet.
	atStart         = "at start"
	atStartDuration = time.Minute
)

var outageRuns = map[string]int{atRenewal: 1, atStart: 25}

// medianOutage is the median of several by bad calls: a library may space its
// attempts at random.
func medianOutage(l library, when string) Outage {
	var runs []Outage
	for range outageRuns[when] {
		runs = append(runs, outage(l, when))
	}
	slices.SortFunc(runs, func(a, b Outage) int { return a.Bad - b.Bad })
	return runs[len(runs)/2]
}

func outage(l library, when string) Outage {
	e := &endpoint{latency: outageEndpoint, lifetime: rolloverLifetime, outageFor: outageFor}
	src := l.virtual(e.fetch)
	duration := atStartDuration
	switch when {
	case atStart:
		e.outageFrom = 1
	case atRenewal:
		duration = atRenewalDuration
		e.outageFrom = 2
		src.token(context.Background())
	}

	o := Outage{
		Library:            l.name,
		Case:               when,
		RequestsEachSecond: make([]int, outageShown/time.Second),
		BadEachSecond:      make([]int, outageShown/time.Second),
	}
	began := time.Now()
	load{workers: outageWorkers, period: time.Second, duration: duration}.run(src, func(c call) { o.observe(c, e, began) })

	outage, restored := e.outageSeen()
	for _, at := range e.asked() {
		since := at.Sub(outage)
		if 0 <= since && since < outageShown {
			o.RequestsEachSecond[since/time.Second]++
		}
		if 0 <= since && since < outageFor {
			o.Requests++
		}
	}
	for _, n := range o.RequestsEachSecond {
		o.Peak = max(o.Peak, n)
	}
	o.NewTokenMS = milliseconds(restored.Sub(outage.Add(outageFor)))
	return o
}

func (o *Outage) observe(c call, e *endpoint, began time.Time) {
	outage, _ := e.outageSeen()
	if outage.IsZero() {
		return
	}
	o.WorstMS = max(o.WorstMS, milliseconds(c.took))
	switch {
	case c.err != nil:
		o.Failed++
		if e.tokenValid() {
			o.FailedValid++
		}
	case e.left(c.access) < 0:
		o.Expired++
	case c.took > time.Second:
		o.Slow++
	default:
		return
	}
	o.Bad++
	due := max(began.Add(c.due).Sub(outage), 0)
	o.LastBadMS = max(o.LastBadMS, milliseconds(due-outageFor))
	if due < outageShown {
		o.BadEachSecond[due/time.Second]++
	}
}
