package demo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource/sandbox"
)

const commandVar = "TOKENSOURCE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandVar) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, sandbox.New); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Setenv(commandVar, "1") // in what the tests start
	os.Exit(m.Run())
}

// run is the command as a program has it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, start func(sandbox.Config) *sandbox.Sandbox) error {
	root := &cobra.Command{Use: "tokensource", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(NewCommand(start), NewMemberCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantNarrow fails the test if a line would wrap on an ordinary terminal.
func wantNarrow(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
	if strings.ContainsAny(text, "\r\x1b") {
		t.Errorf("control characters without a terminal: %q", text)
	}
}

// What a newcomer runs, over real HTTPS and in real time: the one test here
// that takes as long as it says.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	if err := run(t.Context(), []string{"demo", "--duration", "7.5s", "--workers", "4"}, &stdout, &stderr, sandbox.New); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &stderr, &stdout)
	}
	for _, want := range []string{
		"  ok  no request failed while a valid token existed\n",
		"  ok  blink  ", "  ok  blackhawk  ", "  ok  flinks  ", "  ok  flinks, Ready: 8  ",
		"You have just seen ", "past a revocation and\nan outage; ", " of 3 providers, 4 workers each",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &stdout)
		}
	}
	for _, row := range []string{`x/oauth2\n  blink +\d+ +\d+ +[1-9]`, `tokensource\n  blink +\d+ +\d+ +\d+ +\d+`} {
		if !regexp.MustCompile(row).MatchString(stdout.String()) {
			t.Errorf("no %s in\n%s", row, &stdout)
		}
	}
	wantNarrow(t, stdout.String()+stderr.String())
	for _, want := range []string{"1.5s  every token is revoked", "3.8s  the token endpoints answer 503", "4.8s  the token endpoints work again"} {
		if !strings.Contains(stderr.String(), want+"\n") {
			t.Errorf("stderr does not say %q:\n%s", want, &stderr)
		}
	}
}

// virtual runs lanes in process, in virtual time. One worker per lane: x/oauth2's
// other callers would wait for its mutex, which stops a bubble's clock.
func virtual(t *testing.T, sabotage func(*sandbox.Sandbox), choose func([]*lane) []*lane) (lanes []*lane, text string, broken []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{duration: 7500 * time.Millisecond, Lifetime: 5 * time.Second, Workers: 1, Rate: 10}
		s.start = func(c sandbox.Config) *sandbox.Sandbox {
			sb := sandbox.NewInProcess(c)
			sabotage(sb)
			return sb
		}
		lanes = choose(s.lanes())
		var err error
		text, broken, err = s.run(t.Context(), newProgress(io.Discard), lanes)
		must(t, err)
	})
	return lanes, text, broken
}

func unharmed(*sandbox.Sandbox) {}

func TestTableAndPicture(t *testing.T) {
	lanes, text, broken := virtual(t, unharmed, func(all []*lane) []*lane { return all })
	t.Log(text)
	if len(broken) != 0 {
		t.Error(broken)
	}
	for i, l := range lanes {
		r, ours := l.row(), i < 4
		name := l.library + ", " + l.name
		switch {
		case l.name == "flinks, Ready: 8":
			if r.waited > 1+1 || r.rejected+r.noToken != 0 { // the first, and the one that was revoked
				t.Errorf("%s: %+v: sessions failed, or waited although tokens were ready", name, r)
			}
		case l.name == "flinks, alone":
			if r.rejected == 0 || l.sandbox.Ledger()[l.provider].ReusedSingleUse == 0 {
				t.Errorf("%s: %+v: it knows of single use", name, r)
			}
		case l.sessions():
			if r.p50 != tokenDelay || r.waited < 25 || ours && r.rejected+r.noToken != 0 {
				t.Errorf("%s: %+v", name, r)
			}
		case ours: // one waits, for the token that replaces the revoked one
			if r != (row{waited: 1, max: tokenDelay}) || len(l.requests) != 75 || len(l.tokenRequests) != 4 {
				t.Errorf("%s: %+v, %d requests, %d token requests", name, r, len(l.requests), len(l.tokenRequests))
			}
		default: // from the revocation to the first token's end, then in the outage
			if r.rejected < 25 || r.noToken == 0 || r.waited == 0 {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	for _, want := range []string{
		"  ok  blink             4: 1 first, 1 revoked, 1 due, 1 refused\n",
		"▼revoked  ▼▼▼▼503\n",
		"tokensource  blink, blackhawk   ▁▁▁▁▁▁▃▁▁▁",
		"x/oauth2     blink, blackhawk   ▁▁▁▁▁▁xxxxxxxxx",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	wantNarrow(t, text)
}

// Many callers of the library alone, in virtual time: what it adds is exactly
// nothing but the wait for a token that does not exist.
func TestLibraryUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{duration: time.Minute, Lifetime: 10 * time.Second, Workers: 20, Rate: 5, start: sandbox.NewInProcess}
		lanes := s.lanes()[:4]
		text, broken, err := s.run(t.Context(), newProgress(io.Discard), lanes)
		must(t, err)
		if len(broken) != 0 {
			t.Fatalf("%q\n%s", broken, text)
		}
		for _, l := range lanes[:2] {
			// A token serves 5 to 6 s of its 10; the outage of 2 s costs up to two more.
			if r := l.row(); r.rejected+r.noToken != 0 || r.p99 != 0 || len(l.requests) < 5_900 || len(l.tokenRequests) > 1+1+12+2 {
				t.Errorf("%s: %+v, %d requests, %d token requests", l.name, r, len(l.requests), len(l.tokenRequests))
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
			" requests failed although a valid token existed; the first: 500 Internal Server Error",
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
			"requests failed although a valid token existed",
		},
		"a good token is rejected, so one more is fetched": {
			func(sb *sandbox.Sandbox) {
				sb.Script(sandbox.Blink, sandbox.API, sandbox.Fault{}, sandbox.Fault{Status: http.StatusUnauthorized})
			},
			"blink: 1 of 5 token requests had no reason",
		},
		"the token endpoint fails outside the outage": {
			func(sb *sandbox.Sandbox) {
				failing := sandbox.Fault{Status: http.StatusBadGateway}
				sb.Script(sandbox.Blackhawk, sandbox.Token, failing, failing)
			},
			"blackhawk: 2 of 6 token requests had no reason",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, text, broken := virtual(t, tt.sabotage, func(all []*lane) []*lane { return all[:4] })
			if !strings.Contains(strings.Join(broken, "\n"), tt.want) {
				t.Errorf("broken: %q; want %q", broken, tt.want)
			}
			if !strings.Contains(text, "  BROKEN  b") && !strings.Contains(text, "  BROKEN  f") || strings.Contains(text, "  ok  ") {
				t.Error(text)
			}
		})
	}
}

// The verdict on a cache that shares single-use tokens.
func TestSingleUseTokensPresentedTwice(t *testing.T) {
	lanes, _, _ := virtual(t, unharmed, func(all []*lane) []*lane { return all[7:] })
	_, broken := lanes[0].verdict(lanes[0].sandbox.Ledger()[sandbox.Flinks])
	if want := "single-use tokens were presented for another session"; !strings.Contains(strings.Join(broken, "\n"), want) {
		t.Errorf("verdict does not say %q: %q", want, broken)
	}
}

// Ctrl-C, at its worst: many callers wait in x/oauth2's queue. What it cuts off
// is no failure.
func TestInterruptedWhileRequestsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{duration: time.Hour, Lifetime: 5 * time.Second, Workers: 1, Rate: 10, start: func(c sandbox.Config) *sandbox.Sandbox {
			sb := sandbox.NewInProcess(c)
			for _, p := range sandbox.Providers() {
				sb.Script(p, sandbox.Token, slow, sandbox.Fault{Delay: time.Hour})
				sb.Script(p, sandbox.API, sandbox.Fault{}, sandbox.Fault{}, sandbox.Fault{Delay: time.Hour})
			}
			return sb
		}}
		ctx, interrupt := context.WithCancel(t.Context())
		begin := time.Now()
		time.AfterFunc(time.Second, interrupt)
		lanes := s.lanes()[:7] // the last presents used tokens
		_, _, err := s.run(ctx, newProgress(io.Discard), lanes)
		if took := time.Since(begin) - time.Second; !errors.Is(err, context.Canceled) || took > 300*time.Millisecond {
			t.Errorf("it ended %v after Ctrl-C: %v", took, err)
		}
		for _, l := range lanes {
			if l.failed > 0 {
				t.Errorf("%s, %s: %d requests failed", l.library, l.name, l.failed)
			}
		}
	})
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--lifetime", "4s"}, {"--lifetime", "5500ms"}, {"--duration", "7s"}, {"--duration", "2h"},
		{"--workers", "0"}, {"--workers", "1001"}, {"--rate", "0"}, {"--rate", "NaN"}, {"now"},
		{"--fleet", "1"}, {"--fleet=0"}, {"--fleet", "1000"}, {"--fleet", "3", "4"}, {"3"},
		{"--fleet", "3", "--lifetime", "4s"}, {"--fleet", "3", "--duration", "7s"}, {"--fleet", "3", "--workers", "0"},
		{"--redis", "redis://localhost"}, {"--fleet", "3", "--redis", "S3cret"}, {"--fleet", "3", "--redis", "http://:S3cret@localhost"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			err := run(t.Context(), append([]string{"demo"}, args...), &stdout, &stderr, nil)
			if !errors.As(err, new(UsageError)) || stdout.Len() > 0 || strings.Contains(err.Error(), "S3cret") {
				t.Errorf("error %v, stdout %q", err, &stdout)
			}
		})
	}
}
