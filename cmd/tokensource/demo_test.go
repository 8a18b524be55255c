package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/tokensource-go/tokensource/sandbox"
)

// What a newcomer runs, over real HTTPS and in real time: the one test here
// that takes as long as it says.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"demo", "--duration", "7.5s", "--workers", "4"}, &stdout, &stderr, sandbox.New)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, &stderr, &stdout)
	}
	number := func(pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(stdout.String())
		if m == nil {
			t.Fatalf("no %s in\n%s", pattern, &stdout)
		}
		return m[1]
	}
	section := func(library string) string { return `\n` + library + `\n(?:  .*\n)*?  ` }
	for _, p := range sandbox.Providers() {
		if failed := number(section("tokensource") + string(p) + ` +\d+ +(\d+)`); failed != "0" {
			t.Errorf("%s: %s requests failed", p, failed)
		}
	}
	for _, p := range []string{"blink", "blink-legacy", "blackhawk"} {
		if number(section("golang.org/x/oauth2")+p+` +\d+ +(\d+)`) == "0" {
			t.Errorf("%s: x/oauth2 did not notice the faults", p)
		}
	}
	number(`  (ok)  no request failed`)
	number(`past a revocation and an outage; (none)\nfailed`)
	for line := range strings.Lines(stdout.String()) {
		if utf8.RuneCountInString(line) > 101 { // with the newline
			t.Errorf("more than 100 columns: %s", line)
		}
	}
	for _, want := range []string{"1.5s  every token is revoked", "3.8s  the token endpoints answer 503", "4.8s  the token endpoints work again"} {
		if !strings.Contains(stderr.String(), want+"\n") {
			t.Errorf("stderr does not say %q:\n%s", want, &stderr)
		}
	}
	if strings.ContainsAny(stderr.String(), "\r\x1b") {
		t.Errorf("control characters where stderr is not a terminal: %q", &stderr)
	}
}

// bubble runs the command in virtual time. One worker per lane: x/oauth2's
// other callers would wait for its mutex, which stops a bubble's clock.
func bubble(t *testing.T, sabotage func(*sandbox.Sandbox), args ...string) (code int, r report, stderr string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out, errs strings.Builder
		start := func(c sandbox.Config) *sandbox.Sandbox {
			sb := sandbox.NewInProcess(c)
			sabotage(sb)
			return sb
		}
		code = run(t.Context(), append([]string{"demo", "--json", "--duration", "7.5s", "--workers", "1"}, args...), &out, &errs, start)
		stderr = errs.String()
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			t.Fatalf("%v in %q; stderr %q", err, &out, stderr)
		}
	})
	return code, r, stderr
}

func TestDemoAsJSON(t *testing.T) {
	code, r, stderr := bubble(t, func(*sandbox.Sandbox) {})
	if code != exitOK || len(r.Broken) != 0 {
		t.Fatalf("exit code %d, broken %q, stderr %q", code, r.Broken, stderr)
	}
	if len(r.Rows) != 9 || r.DurationS != 7.5 || r.LifetimeS != 5 || r.Workers != 1 || r.Rate != 10 {
		t.Fatalf("%+v", r)
	}
	for _, row := range r.Rows {
		name := row.Library + ", " + string(row.Provider)
		cached := !row.SingleUse
		switch ours := row.Library == libraryName; {
		case ours && row.Failed != 0:
			t.Errorf("%s: %d requests failed", name, row.Failed)
		// The first, the revoked one's replacement, one 503, the rollover.
		case ours && cached && (row.Requests != 75 || row.TokenRequests != 4 || row.Waited != 0 || row.Added.Max != 0):
			t.Errorf("%s: %+v", name, *row)
		case ours && cached && (row.WaitedRevoked != 1 || row.AddedRevoked.Max != 100):
			t.Errorf("%s: after the revocation: %+v", name, *row)
		case !ours && cached && (row.Failed == 0 || row.Waited == 0 || row.Added.Max != 100):
			t.Errorf("%s: %+v", name, *row)
		case row.SingleUse && (row.Waited != 0 || row.Added.P50 != 100):
			t.Errorf("%s: %+v", name, *row)
		}
		if unmarked := row.Library == "golang.org/x/oauth2 alone"; unmarked != (row.ReusedSingleUse > 0) {
			t.Errorf("%s: presented used tokens %d times", name, row.ReusedSingleUse)
		}
	}
}

// alone lets one contender work through a scenario in process.
func alone(t *testing.T, s *scenario, contend func(*scenario) *contender) []*contender {
	t.Helper()
	s.startSandbox = sandbox.NewInProcess
	contenders := []*contender{contend(s)}
	if err := s.run(t.Context(), newProgress(io.Discard, s.Duration), contenders); err != nil {
		t.Fatal(err)
	}
	return contenders
}

// Many callers of the library alone, in virtual time: what it adds is exactly
// nothing but the wait for a token that does not exist.
func TestLibraryUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{Duration: time.Minute, Lifetime: 10 * time.Second, Workers: 20, Rate: 5}
		r := newReport(s, alone(t, s, newTokensource))
		if len(r.Broken) != 0 {
			t.Fatal(r.Broken)
		}
		for _, row := range r.Rows {
			if row.Failed != 0 || row.Waited != 0 {
				t.Errorf("%s: %+v", row.Provider, *row)
			}
			if row.SingleUse {
				continue
			}
			// A token serves 5 to 6 s of its 10; the outage of 2 s costs up to two more.
			if row.Requests < 5_900 || row.TokenRequests > 1+1+12+2 || row.Added.Max != 0 {
				t.Errorf("%s: %+v", row.Provider, *row)
			}
		}
	})
}

func TestBrokenPromises(t *testing.T) {
	for name, tt := range map[string]struct {
		sabotage func(*sandbox.Sandbox)
		want     string
	}{
		"the API fails": {
			func(sb *sandbox.Sandbox) {
				sb.Always(sandbox.Blackhawk, sandbox.API, sandbox.Fault{Status: http.StatusInternalServerError})
			},
			"requests failed although a valid token existed; the first: 500 Internal Server Error",
		},
		"the API fails once for a session": {
			func(sb *sandbox.Sandbox) {
				sb.Script(sandbox.Flinks, sandbox.API, sandbox.Fault{}, sandbox.Fault{Break: true})
			},
			"requests failed although a valid token existed",
		},
		"the token endpoint refuses": {
			func(sb *sandbox.Sandbox) {
				sb.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: http.StatusBadRequest})
			},
			"requests failed for which none of the demo's faults is a reason",
		},
		"a good token is rejected, so one more is fetched": {
			func(sb *sandbox.Sandbox) {
				sb.Script(sandbox.BlinkLegacy, sandbox.API, sandbox.Fault{}, sandbox.Fault{Status: http.StatusUnauthorized})
			},
			"tokens were fetched where",
		},
		"the token endpoint fails outside the outage": {
			func(sb *sandbox.Sandbox) {
				failing := sandbox.Fault{Status: http.StatusBadGateway}
				sb.Script(sandbox.Blackhawk, sandbox.Token, failing, failing)
			},
			"blackhawk: 3 token requests failed where the outage explains 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			code, r, stderr := bubble(t, tt.sabotage)
			if code != exitOther || len(r.Broken) == 0 {
				t.Errorf("exit code %d, broken %q", code, r.Broken)
			}
			if !strings.Contains(stderr, "tokensource: broken: ") || !strings.Contains(stderr, tt.want) {
				t.Errorf("stderr does not say %q:\n%s", tt.want, stderr)
			}
		})
	}
}

// The verdict on a cache that shares single-use tokens.
func TestSingleUseTokensPresentedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{Duration: 8 * time.Second, Lifetime: 5 * time.Second, Workers: 1, Rate: 10}
		theirs := alone(t, s, newUnmarked)
		l := theirs[0].lanes[0]
		broken := strings.Join(l.verdict(theirs[0].sandbox.Ledger()[l.provider]), "\n")
		if want := "flinks: single-use tokens were presented for another session"; !strings.Contains(broken, want) {
			t.Errorf("verdict does not say %q:\n%s", want, broken)
		}
	})
}

// The table of a run that broke a promise says so.
func TestBrokenTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{Duration: 8 * time.Second, Lifetime: 5 * time.Second, Workers: 1, Rate: 10}
		ours := alone(t, s, func(s *scenario) *contender {
			c := newTokensource(s)
			c.sandbox.Always(sandbox.Blink, sandbox.API, sandbox.Fault{Status: http.StatusInternalServerError})
			return c
		})
		var out strings.Builder
		if err := newReport(s, ours).print(&out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, "BROKEN  blink: ") || strings.Contains(got, "  ok  ") || strings.Contains(got, "none\nfailed") {
			t.Error(got)
		}
	})
}

func TestDemoInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var stdout, stderr strings.Builder
		code := run(ctx, []string{"demo", "--workers", "1"}, &stdout, &stderr, sandbox.NewInProcess)
		if code != exitInterrupted || stdout.Len() > 0 || !strings.HasSuffix(stderr.String(), "tokensource: interrupted\n") {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
		}
	})
}

func TestDemoFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--lifetime", "4s"}, {"--lifetime", "5500ms"}, {"--duration", "7s"}, {"--duration", "2h"},
		{"--workers", "0"}, {"--workers", "1001"}, {"--rate", "0"}, {"--rate", "NaN"}, {"--workers", "many"}, {"now"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(t.Context(), append([]string{"demo"}, args...), &stdout, &stderr, nil)
			if code != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), "see: tokensource demo --help\n") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
			}
		})
	}
}
