package demo

// What the demo found: a table and a picture, in at most 80 columns.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is a lane's in the table.
type row struct {
	rejected, noToken int // requests
	waited            int // those that a token request held up: it ended meanwhile, and not just in passing
	p50, p99, max     time.Duration
}

func (l *lane) row() (r row) {
	var added []time.Duration
	for i, q := range l.requests {
		switch {
		case q.rejected():
			r.rejected++
		case q.failed():
			r.noToken++
		}
		if i > 0 { // the first had to wait
			added = append(added, q.added())
			if slices.ContainsFunc(l.tokenRequests, func(t *tokenRequest) bool {
				return q.added() >= tokenDelay/10 && !t.End.Before(q.Begin) && !t.End.After(q.End)
			}) {
				r.waited++
			}
		}
	}
	if slices.Sort(added); len(added) > 0 {
		n := len(added) - 1
		r.p50, r.p99, r.max = added[n/2], added[n*99/100], added[n]
	}
	return r
}

// report returns all that is printed, and the promises that the library broke.
func (s *scenario) report(lanes []*lane) (text string, broken []string) {
	b := new(strings.Builder)
	const columns = "%-18s%8v%9v%9v%9v%7v%6v%7v%7v\n"
	fmt.Fprintf(b, "\n%v of %v\n\n"+columns+columns, s.duration, s, "", "", "token", "failed:", "failed:", "", "", "added", "",
		"", "requests", "requests", "rejected", "no token", "waited", "p50", "p99", "max")
	var requests, rejected, noToken [2]int // of the library, of the peer
	var shared, tokenRequests, reused int
	var why strings.Builder
	for i, l := range lanes {
		r, ledger, peer := l.row(), l.sandbox.Ledger()[l.provider], i/4
		if i%4 == 0 {
			fmt.Fprintln(b, l.library)
		}
		if peer == 0 {
			reasons, faults := l.verdict(ledger)
			broken = append(broken, faults...)
			if at := strings.LastIndex(reasons[:min(len(reasons), 50)], ", "); len(reasons) > 50 && at > 0 {
				reasons = reasons[:at+1] + "\n" + strings.Repeat(" ", 23) + reasons[at+1:]
			}
			if fmt.Fprintf(&why, "  ok  %-16s  %d: %s\n", l.name, ledger.TokenRequests, reasons); !l.sessions() {
				shared, tokenRequests = shared+len(l.requests), tokenRequests+ledger.TokenRequests
			}
		}
		requests[peer], rejected[peer], noToken[peer] = requests[peer]+len(l.requests), rejected[peer]+r.rejected, noToken[peer]+r.noToken
		reused += ledger.ReusedSingleUse
		fmt.Fprintf(b, columns, "  "+l.name, len(l.requests), ledger.TokenRequests, r.rejected, r.noToken, r.waited, short(r.p50), short(r.p99), short(r.max))
	}
	fmt.Fprintf(b, `
rejected  with 401: its token was revoked, or used before.  no token: an outage.
waited    for a token request.  added: by the library, without the network.
flinks    %d sessions a second, a token of its own for each; Ready fetches ahead.
x/oauth2  calls a token used up %v early here, as tokensource does; 10s, its
          default, is longer than these live. "Alone" it does not know that
          Flinks' tokens are for one session, and presented used ones %d times.

Checked for tokensource: promises, and why each token request was made (due:
half of its life was over; refused: with 503; cut: by the end of the run)
`, sessionRate, s.margin(), reused)
	if len(broken) == 0 {
		fmt.Fprintf(b, "  ok  no request failed while a valid token existed\n  ok  no single-use token was presented twice\n%s", &why)
	}
	for _, text := range broken {
		fmt.Fprintf(b, "  BROKEN  %s\n", text)
	}
	fmt.Fprintf(b, `
%s
You have just seen %d requests go through tokensource, past a revocation and
an outage; %s failed. %d token requests were enough for the %d that can share
a token. x/oauth2 failed %d of %d: %d with a rejected token, %d without one.
`, s.picture(lanes), requests[0], cmp.Or(strings.TrimPrefix(fmt.Sprint(rejected[0]+noToken[0]), "0"), "none"), tokenRequests, shared,
		rejected[1]+noToken[1], requests[1], rejected[1], noToken[1])
	return b.String(), broken
}

// short writes a duration with as many digits as mean something.
func short(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

const pictureColumns = 32

// A column shows no request, one that took up to a time, or one that failed.
var (
	signs  = []rune(" ▁▃▅▇█!x")
	levels = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second}
)

func severity(r *request) int {
	if r.rejected() {
		return len(signs) - 1
	}
	if r.failed() {
		return len(signs) - 2
	}
	n := 1
	for n <= len(levels) && r.added() >= levels[n-1] {
		n++
	}
	return n
}

// picture draws a line for each kind of lane, and in it the worst of the requests
// that began in each stretch of time.
func (s *scenario) picture(lanes []*lane) string {
	column := s.duration / pictureColumns
	at := s.at()
	revoked, down := int(at[0]/column), int(at[1]/column)
	var text strings.Builder
	text.WriteString(fmt.Sprintf("%-32s%*s%-*s%s503\n", fmt.Sprintf("Worst request in each %v", column.Round(time.Millisecond)),
		revoked, "", down-revoked, "▼revoked", strings.Repeat("▼", max(1, int(at[2]/column)-down))))
	for i, l := range lanes {
		name, group := l.name, lanes[i:i+1]
		if !l.sessions() { // two of each library, which look the same
			if i%2 == 1 {
				continue
			}
			name, group = "blink, blackhawk", lanes[i:min(i+2, len(lanes))]
		}
		text.WriteString(fmt.Sprintf("%-13s%-19s%s\n", l.library, name, worst(group, column)))
	}
	return text.String() + "▁ no wait  ▃ under 200 ms  ▅ 500 ms  ▇ 1 s  █ more  x rejected  ! no token\n"
}

func worst(lanes []*lane, column time.Duration) string {
	line, at := make([]rune, pictureColumns), make([]int, pictureColumns)
	for _, l := range lanes {
		for _, r := range l.requests {
			if i := int(r.Begin.Sub(l.start) / column); r.Begin.After(l.start) && i < pictureColumns {
				at[i] = max(at[i], severity(r))
			}
		}
	}
	for i, n := range at {
		line[i] = signs[n]
	}
	return string(line)
}
