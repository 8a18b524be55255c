package main

import (
	"net/http"
	"testing"
)

// Request is the cost of a request over a base that does nothing.
type Request struct {
	Library string `json:"library"`
	NA      string `json:"na,omitempty"`

	NS     float64 `json:"ns"`
	Allocs int64   `json:"allocs"`
	Bytes  int64   `json:"bytes"`
}

const plainName = "none" // a request without a token

// noop is a base that costs nothing. Its response says which request it is to,
// as net/http's does; there is one at a time.
type noop struct{ resp *http.Response }

func (n noop) RoundTrip(req *http.Request) (*http.Response, error) {
	n.resp.Request = req
	return n.resp, nil
}

func requests(plan timing) ([]Request, error) {
	base := noop{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	rows, transports := []Request{{Library: plainName}}, []http.RoundTripper{base}
	for _, l := range libraries() {
		rows = append(rows, Request{Library: l.name, NA: l.noTransport})
		if l.transport == nil {
			transports = append(transports, nil)
		} else {
			transports = append(transports, l.transport(lasting, base))
		}
	}
	req, err := http.NewRequest(http.MethodGet, "https://api.example/path", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bench")
	for i, r := range inTurn(plan, len(rows), func(i int) testing.BenchmarkResult {
		if transports[i] == nil {
			return testing.BenchmarkResult{}
		}
		return benchmark(plan.each, func(b *testing.B) {
			for b.Loop() {
				if _, err := transports[i].RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}) {
		rows[i].NS, rows[i].Allocs, rows[i].Bytes = nanoseconds(r), r.AllocsPerOp(), r.AllocedBytesPerOp()
	}
	return rows, nil
}
