package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// Request is what a transport adds to a request.
type Request struct {
	Library string `json:"library"`
	NA      string `json:"na,omitempty"`

	// Over a base that does nothing.
	NoopNS float64 `json:"noop_ns"`
	Allocs int64   `json:"allocs"`
	Bytes  int64   `json:"bytes"`

	// Over a kept-alive TLS connection on loopback, answer read; and what is
	// more than without a token in the same round.
	TLSNS        float64 `json:"tls_ns"`
	TLSAddedNS   float64 `json:"tls_added_ns"`
	TLSScatterNS float64 `json:"tls_added_scatter_ns"` // the range of the middle half of the rounds
}

const plainName = "none" // a request without a token

// noop is a base that costs nothing.
type noop struct{ resp *http.Response }

func (n noop) RoundTrip(*http.Request) (*http.Response, error) { return n.resp, nil }

func requests(plan timing) ([]Request, error) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"ok":true}`)
	}))
	defer server.Close()
	loopback := server.Client().Transport
	base := noop{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}

	rows := []Request{{Library: plainName}}
	overNoop, overTLS := []http.RoundTripper{base}, []http.RoundTripper{loopback}
	for _, l := range libraries() {
		rows = append(rows, Request{Library: l.name, NA: l.noTransport})
		if l.transport == nil {
			overNoop, overTLS = append(overNoop, nil), append(overTLS, nil)
			continue
		}
		overNoop = append(overNoop, l.transport(lasting, base))
		overTLS = append(overTLS, l.transport(lasting, loopback))
	}
	measure := func(transports []http.RoundTripper, url string) ([][]testing.BenchmarkResult, error) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("User-Agent", "bench")
		return inTurn(plan, len(rows), func(i int) testing.BenchmarkResult {
			if transports[i] == nil {
				return testing.BenchmarkResult{}
			}
			return benchmark(plan.each, func(b *testing.B) {
				for b.Loop() {
					resp, err := transports[i].RoundTrip(req)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}), nil
	}

	results, err := measure(overNoop, "https://api.example/path")
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		rows[i].NoopNS = median(r, nanoseconds)
		rows[i].Allocs, rows[i].Bytes = r[0].AllocsPerOp(), r[0].AllocedBytesPerOp()
	}
	if results, err = measure(overTLS, server.URL); err != nil {
		return nil, err
	}
	for i, r := range results {
		if overTLS[i] == nil {
			continue
		}
		rows[i].TLSNS = median(r, nanoseconds)
		var added []float64
		for round := range r {
			added = append(added, nanoseconds(r[round])-nanoseconds(results[0][round]))
		}
		slices.Sort(added)
		rows[i].TLSAddedNS = added[len(added)/2]
		rows[i].TLSScatterNS = added[len(added)*3/4] - added[len(added)/4]
	}
	return rows, nil
}
