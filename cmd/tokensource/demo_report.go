package main

// What the demo found: a table for people, the same as JSON for programs.

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

type report struct {
	DurationS float64  `json:"duration_s"`
	LifetimeS float64  `json:"lifetime_s"`
	Workers   int      `json:"workers"` // for each row
	Rate      float64  `json:"rate"`    // requests a second of each
	Rows      []*row   `json:"rows"`
	Broken    []string `json:"broken"` // promises that the library broke

	scenario *scenario
}

// row is a lane.
type row struct {
	Library         string           `json:"library"`
	Provider        sandbox.Provider `json:"provider"`
	Requests        int              `json:"requests"` // without a cache there would be as many token requests
	Failed          int              `json:"failed"`
	TokenRequests   int              `json:"token_requests"`
	SingleUse       bool             `json:"single_use"`        // every request waits for a token of its own
	Waited          int              `json:"waited"`            // at a rollover
	Added           added            `json:"added"`             // by the library, per request; neither the first nor WaitedRevoked
	WaitedRevoked   int              `json:"waited_revoked"`    // while there was no token, for the revoked one's replacement
	AddedRevoked    added            `json:"added_revoked"`     // to those
	ReusedSingleUse int              `json:"reused_single_use"` // single-use tokens presented again
}

// added is in milliseconds.
type added struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func newAdded(d []time.Duration) added {
	if len(d) == 0 {
		return added{}
	}
	slices.Sort(d)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return added{ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(d[len(d)-1])}
}

func newReport(s *scenario, contenders []*contender) *report {
	r := &report{
		DurationS: s.Duration.Seconds(),
		LifetimeS: s.Lifetime.Seconds(),
		Workers:   s.Workers,
		Rate:      s.Rate,
		Broken:    []string{},
		scenario:  s,
	}
	for _, c := range contenders {
		ledger := c.sandbox.Ledger()
		for _, l := range c.lanes {
			l.mu.Lock()
			r.Rows = append(r.Rows, l.row(ledger[l.provider]))
			if l.replaces {
				r.Broken = append(r.Broken, l.verdict(ledger[l.provider])...)
			}
			l.mu.Unlock()
		}
	}
	return r
}

func (l *lane) row(ledger sandbox.Counts) *row {
	r := &row{
		Library:         l.contender.name,
		Provider:        l.provider,
		Requests:        len(l.requests),
		TokenRequests:   ledger.TokenRequests,
		SingleUse:       l.single,
		ReusedSingleUse: ledger.ReusedSingleUse,
	}
	var ordinary, revoked []time.Duration
	for i, q := range l.requests {
		if q.failed() {
			r.Failed++
		}
		switch waited := !l.single && l.waited(q); {
		case i == 0: // no rollover: there was no token yet
		case waited && l.replacing(q):
			revoked = append(revoked, q.added())
		default:
			ordinary = append(ordinary, q.added())
			if waited {
				r.Waited++
			}
		}
	}
	r.Added, r.AddedRevoked, r.WaitedRevoked = newAdded(ordinary), newAdded(revoked), len(revoked)
	return r
}

// waited reports whether a request was held up by a token request: one ended
// while the library had it, and not just in passing.
func (l *lane) waited(q *request) bool {
	return q.added() >= tokenDelay/10 && slices.ContainsFunc(l.tokenRequests, func(t *tokenRequest) bool {
		return !t.end.Before(q.begin) && !t.end.After(q.end)
	})
}

// replacing reports whether a request came while the library, which had met a
// rejected token, was getting another.
func (l *lane) replacing(q *request) bool {
	i := slices.IndexFunc(l.tokens, func(t token) bool { return !t.asked.Before(l.revoked.begin) })
	return i >= 0 && q.overlaps(span{l.revoked.begin, l.tokens[i].got})
}

func (r *report) broken() []string { return r.Broken }

// print writes the table and what it means, in at most 100 columns.
func (r *report) print(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "\n%v of %v\n\n", r.scenario.Duration, r.scenario)
	r.table(b)
	r.story(b)
	fmt.Fprint(b, "\nChecked for tokensource, with the sandbox's own count\n")
	for _, text := range r.Broken {
		fmt.Fprintf(b, "  BROKEN  %s\n", text)
	}
	if len(r.Broken) == 0 {
		fmt.Fprint(b, `  ok  no request failed while a valid token existed
  ok  no single-use token was presented twice
  ok  no token request was made that was not needed
`)
	}
	r.summary(b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) table(w io.Writer) {
	b := new(strings.Builder)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cells ...any) {
		fmt.Fprintf(t, "%-25s\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t\n", append([]any{name}, cells...)...)
	}
	line("", "", "", "token", "without", "waited at", "added", "added", "added")
	line("", "requests", "failed", "requests", "a cache", "rollover", "p50 ms", "p99 ms", "max ms")
	library := ""
	for _, row := range r.Rows {
		if row.Library != library {
			library = row.Library
			line(library, "", "", "", "", "", "", "", "")
		}
		waited := fmt.Sprint(row.Waited)
		if row.SingleUse {
			waited = "each"
		}
		line("  "+string(row.Provider), row.Requests, row.Failed, row.TokenRequests, row.Requests, waited,
			figure(row.Added.P50), figure(row.Added.P99), figure(row.Added.Max))
	}
	t.Flush()
	for text := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(strings.TrimPrefix(text, "  "), " \n"))
	}
}

// figure writes milliseconds with as many digits as mean something.
func figure(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.3f", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// story tells what the numbers come from.
func (r *report) story(w io.Writer) {
	s := r.scenario
	var waited, reused int
	var longest float64
	for _, row := range r.Rows {
		waited += row.WaitedRevoked
		longest = max(longest, row.AddedRevoked.Max)
		reused += row.ReusedSingleUse
	}
	from, until := s.outage()
	fmt.Fprintf(w, `
added        Time that the library held a request; all of the network below it is left out.
at %-9v Every token was revoked. tokensource met a 401, got another token and sent the
             request again; %d requests waited for it, up to %s ms (not in the columns: there was
             no token to be had). x/oauth2 goes on with the dead token until it expires.
%-5v-%-6v The token endpoints answered 503. tokensource refreshes in the background while the
             token is still good, and had time to try again. x/oauth2 asks when the token is used
             up: its callers wait then, and in an outage fail one after the other.
flinks       A token starts one session, so every request waits for one of its own, in an outage
             until the endpoint is back. x/oauth2 fetches one at a time: the sessions queue. In
             the last row it stands alone, with its own clientcredentials: nothing tells it that
             the tokens are single-use, and it presented used ones %d times.
fairness     The libraries ran at the same time, each against its own sandbox, where a token
             request takes %v. By default x/oauth2 calls a token used up 10s early, which is
             longer than these live: here it does so %v early, as tokensource does. The early
             window of tokensource is half a lifetime here; by default a fifth, at most 5m.
`, s.revocation(), waited, figure(longest), from, until, reused, tokenDelay, s.margin())
}

// summary is what to take away.
func (r *report) summary(w io.Writer) {
	var requests, failed, shared, tokenRequests int
	for _, row := range r.Rows {
		if row.Library != libraryName {
			continue
		}
		requests += row.Requests
		failed += row.Failed
		if !row.SingleUse {
			shared += row.Requests
			tokenRequests += row.TokenRequests
		}
	}
	fmt.Fprintf(w, `
You have just seen %d requests go through tokensource, past a revocation and an outage; %s
failed. Where tokens can be shared, %d token requests were enough for %d requests.
`, requests, cmp.Or(strings.TrimPrefix(fmt.Sprint(failed), "0"), "none"), tokenRequests, shared)
}
