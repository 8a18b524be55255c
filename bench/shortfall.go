package main

// Where a peer does better, from the figures; the reasons are those of the
// design.

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// comparison is one figure of all libraries, of which less is better.
type comparison struct {
	what    string
	value   func(l About) float64 // NaN: none
	write   func(v float64) string
	noise   float64 // a difference of less than this share is none
	because string
}

func (c comparison) shortfall(libraries []About) (line string, short bool) {
	ours, best, of := math.NaN(), math.Inf(1), ""
	for _, l := range libraries {
		switch v := c.value(l); {
		case isOurs(l.Name):
			ours = v
		case v < best:
			best, of = v, l.Name
		}
	}
	if math.IsNaN(ours) || ours <= best*(1+c.noise) {
		return "", false
	}
	return fmt.Sprintf("- %s: %s, %s has %s\n", c.what, c.write(ours), of, c.write(best)), true
}

func (r *Results) reportShortfalls() string {
	var reasons []string           // in order
	lines := map[string][]string{} // by reason
	for _, c := range r.comparisons() {
		if line, short := c.shortfall(r.Libraries); short {
			if lines[c.because] == nil {
				reasons = append(reasons, c.because)
			}
			lines[c.because] = append(lines[c.because], line)
		}
	}
	if len(reasons) == 0 {
		return "Nowhere in this run, beyond the noise.\n"
	}
	var b strings.Builder
	for _, because := range reasons {
		fmt.Fprintf(&b, "%s\n\n%s\n", because, strings.Join(lines[because], ""))
	}
	return b.String()
}

func (r *Results) comparisons() []comparison {
	const noise = .05
	ns := func(v float64) string { return number(v) + " ns" }
	// Through an interface or not, this library's read is another one.
	read := func(name string, of func(Read) float64) func(About) float64 {
		return func(l About) float64 {
			row := r.read(l.Name)
			if isOurs(l.Name) {
				row = r.read(name)
			}
			return naOr(row.NA, of(row))
		}
	}
	ours := r.read(asInterfaceName)
	copied := fmt.Sprintf("`Token` returns a copy that is the caller's own (%d bytes, %s through an interface), so that wrappers around one Cache do not race on a shared token. The Transport needs no copy.",
		ours.Bytes, count(int(ours.Allocs), "allocation", "allocations"))
	var all []comparison
	for _, as := range []struct{ name, suffix string }{{tokensourceLibrary.name, ""}, {asInterfaceName, " through oauth2.TokenSource"}} {
		all = append(all,
			comparison{"A serial read" + as.suffix, read(as.name, func(row Read) float64 { return row.SerialNS }), ns, noise, copied},
			comparison{"A parallel read" + as.suffix, read(as.name, func(row Read) float64 { return row.ParallelNS }), ns, noise, copied})
	}
	request := func(of func(Request) float64) func(About) float64 {
		return func(l About) float64 { return naOr(r.request(l.Name).NA, of(r.request(l.Name))) }
	}
	all = append(all,
		comparison{"A request over a no-op base", request(func(row Request) float64 { return row.NS }), ns, noise,
			"Before the token is attached, scheme, origin and redirect chain are looked at."},
		comparison{"Allocations of a request", request(func(row Request) float64 { return float64(row.Allocs) }), number, 0,
			"The caller's request stays as it is: what is sent is a copy with headers of its own."})
	const early = "A token is renewed before its end and not run to its last second, which costs requests: so that callers need not wait for it and no token expires on its way to the API."
	all = append(all, comparison{"Token requests at rollovers", func(l About) float64 { return float64(r.pictured(l.Name).Requests) }, number, 0, early})
	for _, when := range []string{atRenewal, atStart} {
		of := func(figure func(Outage) float64) func(About) float64 {
			return func(l About) float64 { return figure(r.outage(l.Name, when)) }
		}
		suffix := ", outage " + when
		again := "It tries again while the token is valid, ever more seldom, so that a short outage is over long before the token is."
		back := "Attempts are spaced, so as not to send an ailing endpoint what it cannot answer: without a token 1 to 2 s apart in the first minute, with a valid one up to 30 s. The price is that its recovery is seen that much later."
		all = append(all,
			comparison{"Token requests" + suffix, of(func(o Outage) float64 { return float64(o.Requests) }), number, 0, again},
			comparison{"Bad calls" + suffix, of(func(o Outage) float64 { return float64(o.Bad) }), number, 0, back},
			comparison{"First new token after the end" + suffix, of(func(o Outage) float64 { return o.NewTokenMS }), duration, noise, back})
	}
	for _, lifetime := range windowLifetimes {
		all = append(all, comparison{fmt.Sprintf("Token requests per 1,000 calls, tokens of %.0f s", lifetime.Seconds()),
			func(l About) float64 { return r.window(l.Name, lifetime).PerThousand }, number, 0, early})
	}
	return append(all, comparison{"Bytes of an idle cache", func(l About) float64 { return r.tenant(l.Name).Bytes }, number, noise,
		"They hold a timer that renews the token without a caller, and the header's value ready to be sent."})
}

func naOr(reason string, v float64) float64 {
	if reason != "" {
		return math.NaN()
	}
	return v
}

func (r *Results) window(library string, lifetime time.Duration) Window {
	return find(r.Window, func(row Window) bool { return row.Library == library && row.LifetimeS == lifetime.Seconds() })
}
