package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// seconds is a moment of a run.
func seconds(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }

func spanOf(begin, end float64) span { return span{seconds(begin), seconds(end)} }

// What a process makes of its record. Its tokens live 10 s: the early window is
// open after 6 s at the latest, and after 9 s callers no longer get them.
func TestMemberVerdict(t *testing.T) {
	first := token{asked: seconds(0), got: seconds(0.1), expiry: seconds(10)}
	next := func(asked, got float64) token {
		return token{asked: seconds(asked), got: seconds(got), expiry: seconds(asked + 10)}
	}
	served := func(begin, end float64) *request {
		return &request{span: spanOf(begin, end), status: http.StatusOK}
	}
	failed := func(begin, end float64, status int, err error) *request {
		return &request{span: spanOf(begin, end), status: status, err: err}
	}
	for name, tt := range map[string]struct {
		waits    []span
		next     []token
		requests []*request
		want     string // what is broken
		late     int
	}{
		"nobody waits":                                 {nil, []token{next(5.5, 5.6)}, nil, "", 0},
		"the first token is waited for":                {[]span{spanOf(0, 0)}, []token{next(5.5, 5.6)}, nil, "", 0},
		"a valid token, and a caller waits":            {[]span{spanOf(5.5, 5.5)}, []token{next(5.5, 5.6)}, nil, "although its process had a valid one", 0},
		"refreshed when it was used up":                {[]span{spanOf(9.1, 9.1)}, []token{next(9.1, 9.2)}, []*request{served(6.5, 6.6)}, "should have come earlier", 0},
		"refreshed in the second half of its window":   {[]span{spanOf(9.1, 9.1)}, []token{next(8.9, 9.2)}, []*request{served(7, 7.1)}, "should have come earlier", 0},
		"the process did not run":                      {[]span{spanOf(9.1, 9.1)}, []token{next(9.1, 9.2)}, []*request{served(5.9, 9.1)}, "", 1},
		"the refresh was slow":                         {[]span{spanOf(9.1, 9.1)}, []token{next(5.5, 9.2)}, []*request{served(6.5, 6.6)}, "", 1},
		"the run ended before the refresh":             {[]span{spanOf(9.1, 9.1)}, nil, []*request{served(6.5, 6.6)}, "", 1},
		"a request fails":                              {nil, nil, []*request{failed(3, 3.1, 500, nil)}, "a request failed: 500 Internal Server Error", 0},
		"a request gets nowhere":                       {nil, nil, []*request{failed(3, 3.1, 0, errors.New("no route"))}, "a request failed: no route", 0},
		"a valid token is rejected":                    {nil, nil, []*request{failed(3, 3.1, 401, nil)}, "a request failed: 401 Unauthorized", 0},
		"a request is held up, its token expires":      {nil, nil, []*request{failed(8.9, 10.1, 401, nil)}, "", 1},
		"a request is held up longer than any timeout": {nil, nil, []*request{failed(1, 17, 0, errors.New("timeout"))}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lane{
				scenario: &scenario{Lifetime: 10 * time.Second},
				tokens:   append([]token{first}, tt.next...),
				requests: tt.requests,
			}
			r := (&member{lane: l, waits: tt.waits}).result()
			if got := strings.Join(r.Broken, "\n"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
			if late := r.Counts.LateFailed + r.Counts.LateWaited; late != tt.late {
				t.Errorf("%d were late, want %d", late, tt.late)
			}
		})
	}
}

// What the parent makes of the processes' token requests.
func TestFleetVerdict(t *testing.T) {
	at := func(asked ...float64) *process {
		p := &process{result: &memberResult{}, asked: len(asked)}
		for _, s := range asked {
			p.result.Shared = append(p.result.Shared, &sharedToken{seconds(s), seconds(s + 10)})
		}
		return p
	}
	unshared := func(p *process, n int) *process {
		p.result.Unshared = n
		p.asked += n
		return p
	}
	for name, tt := range map[string]struct {
		processes []*process
		rollovers int
		want      string
	}{
		"one token at a time":                   {[]*process{at(0, 10.2), at(5.1), at()}, 2, ""},
		"no rollover yet":                       {[]*process{at(0), at()}, 0, ""},
		"two ask for the first token":           {[]*process{at(0), at(0.1)}, 0, "2 token requests where 1 were needed"},
		"two ask at a rollover":                 {[]*process{at(0, 5.1), at(5.2)}, 1, "3 token requests where 2 were needed"},
		"a token is replaced early":             {[]*process{at(0, 4.9), at()}, 0, "2 token requests where 1 were needed"},
		"each keeps its own":                    {[]*process{at(0, 5.1, 10.2), at(0, 5.2, 10.3)}, 2, "6 token requests where 3 were needed"},
		"the store was too slow for one":        {[]*process{at(0), unshared(at(5.1), 1)}, 1, ""},
		"one was killed while it asked":         {[]*process{at(0), at(6.4), {killed: true, asked: 1}}, 1, ""},
		"a token request that nothing explains": {[]*process{at(0), {asked: 1, result: &memberResult{}}}, 0, "2 token requests where 1 were needed"},
		"a process saw a promise broken": {
			[]*process{at(0), {Number: 2, result: &memberResult{Broken: []string{"this", "that"}}}}, 0,
			"process 2: this (the first of 2)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ledger sandbox.Counts
			for _, p := range tt.processes {
				ledger.TokenRequests += p.asked
			}
			f := &fleet{scenario: scenario{Lifetime: 10 * time.Second}}
			rollovers, _, broken := f.verdict(tt.processes, ledger)
			if got := strings.Join(broken, "\n"); rollovers != tt.rollovers || got != tt.want {
				t.Errorf("%d rollovers, broken: %q; want %d, %q", rollovers, got, tt.rollovers, tt.want)
			}
		})
	}
}
