package main

// results.md: tables, how each figure came about, and nothing that the figures
// of another run could contradict.

import (
	"fmt"
	"slices"
	"strings"
)

func (r *Results) report() string {
	parts := []string{
		"# Side by side with the peers\n",
		r.reportOrigin(),
		r.reportGlance(),
		"## Where a peer does better\n",
		r.reportShortfalls(),
		r.reportRead(),
		r.reportRequest(),
		r.reportRollover(),
		r.reportOutage(),
		r.reportWindows(),
		r.reportTenants(),
		r.reportMethod(),
	}
	return strings.Join(parts, "\n")
}

func (r *Results) reportOrigin() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s within %.0f s, by `go -C bench run .`", r.Date.Format("2 January 2006, 15:04 UTC"), r.TookS)
	if r.Quick {
		b.WriteString(" with `-quick`: the figures are rough")
	}
	fmt.Fprintf(&b, ". Machine: %s, %s; %s; %s.\n", r.Machine.CPU, count(r.Machine.Cores, "core", "cores"), r.Machine.OS, r.Machine.Go)
	if r.Machine.busy() {
		fmt.Fprintf(&b, "\n**The machine had other work to do meanwhile** (%.0f%% of its time): times in ns may be larger than on a quiet one. Counts, and everything in virtual time, are not affected.\n", 100*r.Machine.Busy)
	}
	return b.String()
}

// reportGlance is also the table of docs/figures.md.
func (r *Results) reportGlance() string {
	var rows [][]string
	for _, l := range r.Libraries {
		read, request := r.read(l.Name), r.request(l.Name)
		rolled, renewal, start := r.pictured(l.Name), r.outage(l.Name, atRenewal), r.outage(l.Name, atStart)
		rows = append(rows, []string{
			l.Name,
			orNA(read.NA, fmt.Sprintf("%s ns, %d", number(read.SerialNS), read.Allocs)),
			orNA(request.NA, fmt.Sprintf("%s ns, %d", number(request.NS-r.request(plainName).NS), request.Allocs)),
			fmt.Sprintf("%s, %s", number(float64(rolled.Waited)/float64(max(rolled.Requests, 1))), duration(rolled.Max)),
			fmt.Sprintf("%s, %s", thousands(renewal.Requests), thousands(renewal.Bad)),
			fmt.Sprintf("%s, %s", thousands(start.Requests), thousands(start.Bad)),
			number(r.window(l.Name, windowLifetimes[0]).PerThousand),
			number(r.window(l.Name, windowLifetimes[1]).PerThousand),
			number(r.tenant(l.Name).Bytes),
		})
	}
	return table([]string{
		"", "a read, allocations", "added to a request, allocations", "callers that wait at a rollover, longest",
		"10 s outage at a renewal: token requests, bad calls", "without a token yet",
		fmt.Sprintf("token requests per 1,000 calls, tokens of %.0f s", windowLifetimes[0].Seconds()),
		fmt.Sprintf("of %.0f s", windowLifetimes[1].Seconds()),
		"bytes of an idle cache",
	}, rows) + fmt.Sprintf("\nRollover: %d callers with a call a second each, tokens of 600 s, a token endpoint of %.0f ms. Outage: %d callers; a bad call failed, took over 1 s or was given an expired token. All libraries are left to their defaults.\n\n![latency over time](rollover.svg)\n\n![an outage](outage.svg)\n",
		picturedWorkers, milliseconds(picturedEndpoint), outageWorkers)
}

func orNA(reason, figure string) string {
	if reason != "" {
		return "n/a"
	}
	return figure
}

func (r *Results) reportRead() string {
	var rows [][]string
	for _, row := range r.Read {
		figures := []string{number(row.SerialNS), number(row.ParallelNS), fmt.Sprint(row.Allocs), fmt.Sprint(row.Bytes)}
		rows = append(rows, naRow(row.Library, row.NA, figures))
	}
	return "## Read\n\nA token from a cache that has a valid one, in ns. The floor is an atomic load and `time.Now()`.\n\n" +
		table([]string{"", "serial", "parallel", "allocations", "bytes"}, rows) +
		"\n![reads](read.svg)\n"
}

func naRow(name, reason string, figures []string) []string {
	if reason != "" {
		for i := range figures {
			figures[i] = ""
		}
		figures[0] = "n/a: " + reason
	}
	return append([]string{name}, figures...)
}

func (r *Results) reportRequest() string {
	var rows [][]string
	for _, row := range r.Request {
		rows = append(rows, naRow(row.Library, row.NA, []string{number(row.NS), fmt.Sprint(row.Allocs), fmt.Sprint(row.Bytes)}))
	}
	return "## Request\n\nOne request through a transport with a valid token, over a base that does nothing, in ns. azcore's is a whole pipeline, with its retry, logging and header policies.\n\n" +
		table([]string{"", "ns", "allocations", "bytes"}, rows)
}

func (r *Results) reportRollover() string {
	var rows [][]string
	for _, row := range r.Rollover {
		rows = append(rows, []string{
			row.Library, number(row.EndpointMS), thousands(row.Calls), thousands(row.Waited),
			number(row.P50), number(row.P99), number(row.Max), thousands(row.Requests), thousands(row.Expired),
		})
	}
	return fmt.Sprintf("## Rollover\n\nVirtual time. %d callers, each with a call a second; tokens live 600 s; the first is there when the callers start. A call counts from when it was due. Times in ms: 0 means that a call did not wait, since computing takes no virtual time.\n\n", picturedWorkers) +
		table([]string{"", "endpoint", "calls", "waited", "p50", "p99", "max", "token requests", "given an expired token"}, rows)
}

func (r *Results) reportOutage() string {
	var rows [][]string
	for _, row := range r.Outage {
		rows = append(rows, []string{
			row.Library + ", " + row.Case, thousands(row.Requests), thousands(row.Peak),
			thousands(row.FailedValid), thousands(row.Failed), thousands(row.Slow), thousands(row.Expired), thousands(row.Bad),
			duration(row.WorstMS), duration(row.NewTokenMS), duration(row.LastBadMS),
		})
	}
	return "## Outage\n\n" + fmt.Sprintf("Virtual time. The token endpoint answers 503 for 10 s, each answer takes %.0f ms. %d callers make a call a second each. ", milliseconds(outageEndpoint), outageWorkers) +
		"*At renewal*: the outage begins with the library's first renewal, whenever its defaults have that, so it meets each at its worst moment. *At start*: it begins with the very first request, before there is a token. " +
		"Token requests are those during the outage; the caches alone make them, no retries of an HTTP client. " +
		fmt.Sprintf("A library may space its attempts at random: at start, of %d outages the one with the median number of bad calls is shown.\n\n", outageRuns[atStart]) +
		table([]string{"", "token requests", "most in a second", "calls failed though a token was valid", "calls failed", "over 1 s", "given an expired token", "bad in all", "slowest call", "first new token after the end", "last bad call due after the end"}, rows)
}

func (r *Results) reportWindows() string {
	header := []string{""}
	least := []string{"least possible"}
	for _, lifetime := range windowLifetimes {
		header = append(header, fmt.Sprintf("%.0f s", lifetime.Seconds()))
		least = append(least, number(leastPerThousand(lifetime)))
	}
	rows := [][]string{least}
	for _, l := range r.Libraries {
		row := []string{l.Name}
		for _, lifetime := range windowLifetimes {
			w := r.window(l.Name, lifetime)
			row = append(row, fmt.Sprintf("%s (%s s)", number(w.PerThousand), number(w.LeastLeftS)))
		}
		rows = append(rows, row)
	}
	return fmt.Sprintf("## Windows\n\nVirtual time. Token requests per 1,000 calls by the lifetime of a token, one caller with a call every %.0f ms; in brackets, the least time that was left on a token when it was handed out.\n\n", milliseconds(windowPeriod)) +
		table(header, rows)
}

func (r *Results) reportTenants() string {
	var rows [][]string
	for _, row := range r.Tenants {
		rows = append(rows, []string{row.Library, number(row.Bytes), number(row.Goroutines)})
	}
	return fmt.Sprintf("## Many tenants\n\nLive heap and goroutines per cache that has been used once and is then left alone, with a token of %d bytes, %s caches. tokensource's have a timer pending, which renews the token.\n\n",
		tokenBytes, thousands(r.Tenants[0].Caches)) + table([]string{"", "bytes", "goroutines"}, rows)
}

func (r *Results) reportMethod() string {
	var rows [][]string
	for _, l := range r.Libraries {
		rows = append(rows, []string{l.Name, "`" + l.Module + "` " + l.Version, l.What, l.Window})
	}
	return "## What was measured, and how\n\n" +
		strings.ReplaceAll(table([]string{"", "version", "measured", "by default a token is renewed"}, rows), "---:", "---") + `
- Read, request and many tenants are in real time; rollover, outage and windows in the virtual time of ` + "`testing/synctest`" + `. A waiting
  caller waits there as long as it would, to the nanosecond, but computing takes no time: costs are the real-time parts' business.
- A bubble's clock stands still while a goroutine waits for a ` + "`sync.Mutex`" + `. x/oauth2, Google auth and client-go hold one while they ask for a
  token, so in virtual time their callers stand in a channel of one place instead. It holds them up as long as the mutex would.
- All libraries get their tokens from the same stub, called by way of the smallest adapter, one file each.
- Each thing in real time is measured in rounds that take the libraries in turn; the fastest of the rounds counts: other work on the machine only adds.
`
}

// busy: something else wanted the processors.
func (m Machine) busy() bool { return m.Busy > .1 }

func (r *Results) read(library string) Read {
	return find(r.Read, func(row Read) bool { return row.Library == library })
}

func (r *Results) request(library string) Request {
	return find(r.Request, func(row Request) bool { return row.Library == library })
}

// pictured is a library's rollover that is in the picture.
func (r *Results) pictured(library string) Rollover {
	return find(r.Rollover, func(row Rollover) bool { return row.Library == library && row.Worst != nil })
}

func (r *Results) outage(library, when string) Outage {
	return find(r.Outage, func(row Outage) bool { return row.Library == library && row.Case == when })
}

func (r *Results) tenant(library string) Tenants {
	return find(r.Tenants, func(row Tenants) bool { return row.Library == library })
}

func find[T any](rows []T, match func(T) bool) (found T) {
	if i := slices.IndexFunc(rows, match); i >= 0 {
		found = rows[i]
	}
	return found
}
