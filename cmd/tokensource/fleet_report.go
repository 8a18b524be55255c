package main

// What the fleet's processes found: a table for people, the same as JSON for
// programs.

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/tokensource-go/tokensource/sandbox"
)

type fleetReport struct {
	DurationS     float64  `json:"duration_s"`
	LifetimeS     float64  `json:"lifetime_s"`
	Workers       int      `json:"workers"` // of each process
	Rate          float64  `json:"rate"`    // requests a second of each worker
	Processes     []counts `json:"processes"`
	Sum           counts   `json:"sum"`
	TokenRequests int      `json:"token_requests"` // by the sandbox's count
	Rollovers     int      `json:"rollovers"`
	Unshared      int      `json:"unshared"`      // token requests whose token did not reach the other processes
	WithoutStore  int      `json:"without_store"` // token requests, at least
	Broken        []string `json:"broken"`        // promises that the library broke

	fleet *fleet
}

// counts are a process's.
type counts struct {
	Requests      int `json:"requests"`
	Failed        int `json:"failed"`
	Waited        int `json:"waited"`         // callers that found no valid token, after the first
	LateFailed    int `json:"late_failed"`    // of Failed, where the machine held up the process
	LateWaited    int `json:"late_waited"`    // of Waited, likewise
	Tokens        int `json:"tokens"`         // that its callers had
	TokenRequests int `json:"token_requests"` // its own
}

func (c *counts) add(d counts) {
	c.Requests += d.Requests
	c.Failed += d.Failed
	c.Waited += d.Waited
	c.LateFailed += d.LateFailed
	c.LateWaited += d.LateWaited
	c.Tokens += d.Tokens
	c.TokenRequests += d.TokenRequests
}

func newFleetReport(f *fleet, processes []*process, ledger sandbox.Counts) *fleetReport {
	r := &fleetReport{
		DurationS:     f.Duration.Seconds(),
		LifetimeS:     f.Lifetime.Seconds(),
		Workers:       f.Workers,
		Rate:          f.Rate,
		TokenRequests: ledger.TokenRequests,
		WithoutStore:  f.Size * f.alone(),
		fleet:         f,
	}
	r.Rollovers, r.Unshared, r.Broken = f.verdict(processes, ledger)
	for _, p := range processes {
		var c counts
		if p.result != nil { // not killed
			c = p.result.Counts
		}
		c.TokenRequests = p.asked
		r.Processes = append(r.Processes, c)
		r.Sum.add(c)
	}
	return r
}

func (r *fleetReport) broken() []string { return r.Broken }

// print writes the table and what it means, in at most 100 columns.
func (r *fleetReport) print(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "\n%v of %v\n\n", r.fleet.Duration, r.fleet)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cells ...any) {
		fmt.Fprintf(t, "%-12s\t%v\t%v\t%v\t%v\t%v\t\n", append([]any{name}, cells...)...)
	}
	line("", "", "", "waited at", "tokens", "token")
	line("", "requests", "failed", "rollover", "used", "requests")
	for i, p := range r.Processes {
		line(fmt.Sprintf("process %d", i+1), p.Requests, p.Failed, p.Waited, p.Tokens, p.TokenRequests)
	}
	line("in all", r.Sum.Requests, r.Sum.Failed, r.Sum.Waited, r.Sum.Tokens, r.Sum.TokenRequests)
	t.Flush()
	fmt.Fprintf(b, `
waited       Callers that found no valid token, after the first token of their process.
tokens used  By the process. Whichever met a token's early window first asked for the next
             one, and the others took it from the store.

Checked, with the sandbox's own count
`)
	for _, text := range r.Broken {
		fmt.Fprintf(b, "  BROKEN  %s\n", text)
	}
	if len(r.Broken) == 0 {
		r.promises(b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// promises are those that were kept.
func (r *fleetReport) promises(w io.Writer) {
	fmt.Fprintf(w, "  ok  no request failed%s\n", r.but(r.Sum.LateFailed, "because the machine was held up"))
	fmt.Fprintf(w, "  ok  no caller waited at a rollover%s\n", r.but(r.Sum.LateWaited, "because the machine was held up"))
	fmt.Fprintf(w, "  ok  %d token requests: the first, and %d rollovers%s\n",
		r.TokenRequests, r.Rollovers, r.but(r.Unshared, "whose token did not reach the others"))
	fmt.Fprintf(w, `
You have just seen %d processes share their tokens: %d token requests were enough for %d
requests. Without the store these processes would have made at least %d × %d = %d.
`, len(r.Processes), r.TokenRequests, r.Sum.Requests, len(r.Processes), r.fleet.alone(), r.WithoutStore)
}

// but is what happened that the library cannot prevent.
func (r *fleetReport) but(n int, why string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", but %d %s", n, why)
}
