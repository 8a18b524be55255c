package dropin_test

// Every wiring through every fault of a token's life, in virtual time: its
// rollover, an outage of the token endpoint, a revocation.

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// wiring is one way to give a Cache to a library.
type wiring struct {
	name string // as in README.md
	// connect returns one call of the API by the library.
	connect func(*testing.T, *fixture) func(context.Context) error
	revoked outcome
}

// outcome is what a revocation costs, as README.md says it.
type outcome string

const (
	survived outcome = "survived"
	oneCall  outcome = "**one call fails**"
	theRest  outcome = "**calls fail** until the token is refreshed or expires"
)

var wirings = slices.Concat(oauth2Wirings, clientWirings, sdkWirings, grpcWirings)

func TestFaults(t *testing.T) {
	const every = 5 * time.Second // a call
	for _, fault := range []struct {
		name   string
		lasts  time.Duration
		steps  map[time.Duration]func(*sandbox.Sandbox)
		expect func(t *testing.T, w wiring, failed int, ledger sandbox.Counts)
	}{
		{"rollover", 30 * time.Minute, nil, func(t *testing.T, _ wiring, failed int, ledger sandbox.Counts) {
			if failed > 0 || ledger.Rejected > 0 || ledger.TokenRequests != 4 {
				t.Errorf("%d calls failed, ledger %+v; want none, by 4 token requests", failed, ledger)
			}
		}},
		// The refresh falls into the outage, which ends just before the token does.
		{"outage", 12 * time.Minute, map[time.Duration]func(*sandbox.Sandbox){
			400 * time.Second: func(box *sandbox.Sandbox) {
				box.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: http.StatusServiceUnavailable})
			},
			585 * time.Second: func(box *sandbox.Sandbox) {
				box.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{})
			},
		}, func(t *testing.T, _ wiring, failed int, ledger sandbox.Counts) {
			if failed > 0 || ledger.Rejected > 0 || ledger.TokensIssued != 2 || ledger.TokenRequests > 30 {
				t.Errorf("%d calls failed, ledger %+v; want none, by 2 tokens and at most 30 token requests", failed, ledger)
			}
		}},
		{"revocation", 650 * time.Second, map[time.Duration]func(*sandbox.Sandbox){
			60 * time.Second: func(box *sandbox.Sandbox) { box.Revoke(sandbox.Blackhawk) },
		}, func(t *testing.T, w wiring, failed int, ledger sandbox.Counts) {
			var most, least, tokens int
			switch w.revoked {
			case survived:
				tokens = 3
			case oneCall:
				least, most, tokens = 1, 1, 3
			case theRest: // of its 600 s
				least, most, tokens = 80, 107, 2
			}
			if failed < least || failed > most || ledger.Rejected != max(failed, 1) || ledger.TokenRequests != tokens {
				t.Errorf("%d calls failed, ledger %+v; want %d to %d, one rejection or one of each, and %d token requests",
					failed, ledger, least, most, tokens)
			}
		}},
	} {
		for _, w := range wirings {
			t.Run(fault.name+"/"+w.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := blackhawk.start(t, sandbox.NewInProcess)
					call := w.connect(t, f)
					failed := 0
					for at := time.Duration(0); at < fault.lasts; at += every {
						if step := fault.steps[at]; step != nil {
							step(f.box)
						}
						if err := call(t.Context()); err != nil {
							if failed++; failed == 1 {
								t.Log(at, err)
							}
						}
						time.Sleep(every)
					}
					fault.expect(t, w, failed, f.box.Ledger()[f.id])
				})
			})
		}
	}
}

func TestREADMEHasTheTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| wiring | rollover | outage | revocation |\n|---|---|---|---|\n")
	for _, w := range wirings {
		fmt.Fprintf(&table, "| %s | survived | survived | %s |\n", w.name, w.revoked)
	}
	if !strings.Contains(string(readme), "\n"+table.String()+"\n") {
		t.Errorf("README.md lacks this table, which TestFaults has seen:\n%s", &table)
	}
}
