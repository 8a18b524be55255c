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
		r.reportFleet(),
		r.reportCheck(),
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
		fmt.Fprintf(&b, "\n**The machine had other work to do meanwhile** (%.0f%% of its time): times in ns, µs and of the check are larger and more scattered than on a quiet one. Counts, and everything in virtual time, are not affected.\n", 100*r.Machine.Busy)
	}
	return b.String()
}

func (r *Results) reportGlance() string {
	var rows [][]string
	for _, l := range r.Libraries {
		read, request := r.read(l.Name), r.request(l.Name)
		rolled, out := r.pictured(l.Name), r.outage(l.Name, atRenewal)
		rows = append(rows, []string{
			l.Name,
			orNA(read.NA, fmt.Sprintf("%s ns, %d", number(read.SerialNS), read.Allocs)),
			orNA(request.NA, fmt.Sprintf("%s ns, %d", number(request.NoopNS-r.request(plainName).NoopNS), request.Allocs)),
			fmt.Sprintf("%s, %s", number(float64(rolled.Waited)/float64(max(rolled.Requests, 1))), duration(rolled.Max)),
			thousands(out.Requests),
			thousands(out.Bad),
			number(r.window(l.Name, windowLifetimes[0]).PerThousand),
			number(r.window(l.Name, windowLifetimes[2]).PerThousand),
			number(r.mostTenants(l.Name).Bytes),
		})
	}
	return table([]string{
		"", "a read, allocations", "added to a request, allocations", "callers that wait at a rollover, longest",
		"token requests in a 10 s outage", "bad calls in it",
		fmt.Sprintf("token requests per 1,000 calls, tokens of %.0f s", windowLifetimes[0].Seconds()),
		fmt.Sprintf("of %.0f s", windowLifetimes[2].Seconds()),
		"bytes of an idle cache",
	}, rows) + fmt.Sprintf("\nRollover: %d callers with a call a second each, tokens of 600 s, a token endpoint of %.0f ms. Outage: %d callers; it begins with the first renewal; a bad call failed, took over 1 s or was given an expired token. All libraries are left to their defaults.\n\n![latency over time](rollover.svg)\n\n![an outage](outage.svg)\n",
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
		figures := []string{number(row.SerialNS), number(row.ParallelNS), number(row.LargeHeapNS), fmt.Sprint(row.Allocs), fmt.Sprint(row.Bytes)}
		rows = append(rows, naRow(row.Library, row.NA, figures))
	}
	return "## Read\n\nA token from a cache that has a valid one, in ns. The floor is an atomic load and `time.Now()`. " +
		fmt.Sprintf("The third figure is the first in a process with %d MiB of live memory, where garbage is collected less often: it tells what an allocation costs in a small program and in a large one.\n\n", largeHeap>>20) +
		table([]string{"", "serial", "parallel", "serial, large heap", "allocations", "bytes"}, rows) +
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
		added := "within the noise"
		if row.distinct() {
			added = number(row.TLSAddedNS / 1000)
		}
		figures := []string{number(row.NoopNS), fmt.Sprint(row.Allocs), fmt.Sprint(row.Bytes), number(row.TLSNS / 1000), added, number(row.TLSScatterNS / 1000)}
		if row.Library == plainName {
			figures[4], figures[5] = "", ""
		}
		rows = append(rows, naRow(row.Library, row.NA, figures))
	}
	return "## Request\n\nOne request through a transport with a valid token: over a base that does nothing, in ns, and over a kept-alive TLS connection on loopback, in µs. " +
		"What is added is the median difference to a request without a token in the same round; it is noise where it is less than its scatter, the range of the middle half of the rounds. azcore's is a whole pipeline, with its retry, logging and header policies.\n\n" +
		table([]string{"", "no-op base, ns", "allocations", "bytes", "TLS, µs", "added, µs", "scatter, µs"}, rows) +
		"\n![requests](request.svg)\n"
}

func (r *Results) reportRollover() string {
	var rows [][]string
	for _, row := range r.Rollover {
		rows = append(rows, []string{
			row.Library, fmt.Sprintf("%s, every %s s", thousands(row.Workers), number(row.PeriodS)), number(row.EndpointMS), thousands(row.Calls), thousands(row.Waited),
			number(row.P50), number(row.P99), number(row.P999), number(row.Max), thousands(row.Requests), thousands(row.Expired),
		})
	}
	return "## Rollover\n\nVirtual time. Tokens live 600 s; the first is there when the callers start. Each has a schedule, and a call counts from when it was due. Times in ms: 0 means that a call did not wait, since computing takes no virtual time. The last rows are one caller that asks seldom.\n\n" +
		table([]string{"", "callers", "endpoint", "calls", "waited", "p50", "p99", "p99.9", "max", "token requests", "given an expired token"}, rows)
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
		"*At renewal*: the outage begins with the library's first renewal, whenever its defaults have that, so it meets each at its worst moment. *At start*: it begins with the very first request, nobody has a token. " +
		"Token requests are those during the outage; the caches alone make them, no retries of an HTTP client.\n\n" +
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
		table(header, rows) + "\n![windows](windows.svg)\n"
}

func (r *Results) reportTenants() string {
	var rows [][]string
	for _, row := range r.Tenants {
		read := number(row.ReadNS)
		if row.ReadNS == 0 {
			read = ""
		}
		rows = append(rows, []string{row.Library, thousands(row.Caches), thousands(row.TokenBytes), number(row.Bytes), number(row.Goroutines), read})
	}
	verdict := "met"
	ours := r.mostTenants(tokensourceLibrary.name)
	if ours.Bytes >= tenantTarget || ours.Goroutines > 0 {
		verdict = "missed"
	}
	return "## Many tenants\n\nLive heap and goroutines per cache that has been used once and is then left alone, token included; time of a read of one at random. tokensource's have a timer pending, which renews the token; *lapsed* are the same caches later, with that renewed and expired unused (virtual time).\n\n" +
		fmt.Sprintf("The target of under %d bytes for an idle tenant and no goroutine is **%s**: %s bytes, %s goroutines.\n\n", tenantTarget, verdict, number(ours.Bytes), number(ours.Goroutines)) +
		table([]string{"", "caches", "bytes of a token", "bytes", "goroutines", "read, ns"}, rows) + "\n![tenants](tenants.svg)\n"
}

func (r *Results) reportFleet() string {
	var rows [][]string
	for _, row := range r.Fleet {
		name := "without a store"
		if row.Store {
			name = "with a store"
		}
		rows = append(rows, []string{name, fmt.Sprint(row.Processes), thousands(row.AtStart), thousands(row.Rollovers), thousands(row.Requests), number(row.PerRollover), thousands(row.Waited)})
	}
	return "## Fleet\n\nVirtual time. Processes that start at the same moment, " + fmt.Sprintf("%d callers each with a call a second, ", fleetWorkers) +
		"Blackhawk's sandbox with a token endpoint of 500 ms, tokens of 600 s, a store in memory. The peers have no store: theirs are the figures without.\n\n" +
		table([]string{"", "processes", "token requests at the start", "rollovers", "token requests at them", "per rollover", "calls that waited at them"}, rows) +
		"\n![a fleet](fleet.svg)\n"
}

func (r *Results) reportCheck() string {
	var rows [][]string
	for _, row := range r.Check {
		rows = append(rows, []string{row.Library, thousands(row.Virtual.Waited), thousands(row.Real.Waited), duration(row.Virtual.Max), duration(row.Real.Max), thousands(row.Virtual.Requests), thousands(row.Real.Requests)})
	}
	return "## Does virtual time tell the truth?\n\nThe same short load in a bubble and in real time, all libraries side by side: " +
		fmt.Sprintf("tokens of %.0f s, a token endpoint of %.0f ms, %d callers with 10 calls a second each; ", checkLifetime.Seconds(), milliseconds(checkEndpoint), picturedWorkers) +
		fmt.Sprintf("the windows of x/oauth2 and Google auth are set in proportion. A call waited if it took more than %.0f ms.\n\n", milliseconds(checkTolerance)) +
		table([]string{"", "waited, virtual", "real", "longest, virtual", "real", "token requests, virtual", "real"}, rows)
}

func (r *Results) reportMethod() string {
	var rows [][]string
	for _, l := range r.Libraries {
		rows = append(rows, []string{l.Name, "`" + l.Module + "` " + l.Version, l.What, l.Window})
	}
	return "## What was measured, and how\n\n" +
		strings.ReplaceAll(table([]string{"", "version", "measured", "by default a token is renewed"}, rows), "---:", "---") + `
- Read, request and many tenants are in real time; rollover, outage, windows and fleet in the virtual time of ` + "`testing/synctest`" + `. A waiting
  caller waits there as long as it would, to the nanosecond, but computing takes no time: costs are the real-time parts' business.
- A bubble's clock stands still while a goroutine waits for a ` + "`sync.Mutex`" + `. x/oauth2, Google auth and client-go hold one while they ask for a
  token, so in virtual time their callers stand in a channel of one place instead. It holds them up as long as the mutex would: see
  the check above.
- All libraries get their tokens from the same stub, called by way of the smallest adapter, one file each.
- Each thing in real time is measured in rounds that take the libraries in turn; the median of the rounds counts.
`
}

// busy: something else wanted the processors.
func (m Machine) busy() bool { return m.Busy > .1 }

// distinct: what is added is more than its scatter.
func (q Request) distinct() bool { return max(q.TLSAddedNS, -q.TLSAddedNS) > q.TLSScatterNS }

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

// mostTenants is the row of the largest number of caches.
func (r *Results) mostTenants(library string) Tenants {
	rows := slices.DeleteFunc(slices.Clone(r.Tenants), func(row Tenants) bool { return row.Library != library })
	return slices.MaxFunc(rows, func(a, b Tenants) int { return a.Caches - b.Caches })
}

func find[T any](rows []T, match func(T) bool) (found T) {
	if i := slices.IndexFunc(rows, match); i >= 0 {
		found = rows[i]
	}
	return found
}
