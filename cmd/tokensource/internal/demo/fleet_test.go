package demo

// The fleet as a user runs it: processes, real HTTPS, real time. The test binary
// plays the command.

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestFleet(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	err := run(t.Context(), []string{"demo", "--fleet", "3", "--duration", "7.5s", "--workers", "2", "--rate", "5"}, &stdout, &stderr, sandbox.New)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, &stderr, &stdout)
	}
	why := regexp.MustCompile(`(?s)  ok  (\d+) token requests: 1 first(.*)\n\n`).FindStringSubmatch(stdout.String())
	if why == nil || strings.Contains(why[2], "store") || !strings.Contains(why[2], " due") {
		t.Errorf("the token requests of files are explained by %q:\n%s", why, &stdout)
	}
	for _, want := range []string{"  ok  no request failed\n", "  ok  no caller waited at a rollover\n", "at least 9,\n3 for each process.\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &stdout)
		}
	}
	wantNarrow(t, stdout.String()+stderr.String())
	if !strings.Contains(stderr.String(), "s  all are at work\n") || why != nil && strings.Count(stderr.String(), " asks for a token\n") < 2 {
		t.Errorf("stderr: %q", &stderr)
	}
}

func TestFleetThatBreaksAPromise(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	err := run(t.Context(), []string{"demo", "--fleet=2", "--duration", "7.5s", "--workers", "1"}, &stdout, &stderr,
		func(c sandbox.Config) *sandbox.Sandbox {
			sb := sandbox.New(c)
			sb.Script(sandbox.Blink, sandbox.API, make([]sandbox.Fault, 5)...)
			sb.Script(sandbox.Blink, sandbox.API, sandbox.Fault{Status: http.StatusInternalServerError})
			return sb
		})
	want := regexp.MustCompile(`  BROKEN  process \d: a request failed: 500 Internal Server Error \(the first of 1\)\n`)
	if err == nil || !strings.Contains(err.Error(), "broke 1 of its promises") || !want.MatchString(stdout.String()) || strings.Contains(stdout.String(), "  ok  ") {
		t.Errorf("error %v, stderr %q\n%s", err, &stderr, &stdout)
	}
}

// A watched writer tells when a text has been written.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
	want string
	then func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.then != nil && strings.Contains(w.text.String(), w.want) {
		w.then()
		w.then = nil
	}
	return len(p), nil
}

// Ctrl-C in the middle of it.
func TestFleetInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout strings.Builder
	stderr := &watched{want: "all are at work", then: interrupt}
	err := run(ctx, []string{"demo", "--fleet", "3", "--duration", "1h"}, &stdout, stderr, sandbox.New)
	if !errors.Is(err, context.Canceled) || stdout.Len() > 0 {
		t.Errorf("%v, stdout %q, stderr %q", err, &stdout, &stderr.text)
	}
}

// A process that is started without its parent's order, or with another.
func TestFleetProcessByItself(t *testing.T) {
	for name, tt := range map[string]struct{ stdin, want string }{
		"nothing":  {"", "is for tokensource demo --fleet to start"},
		"no order": {"hello", "is for tokensource demo --fleet to start"},
		"empty":    {"{}", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			must(t, err)
			cmd := exec.Command(self, memberCommand)
			cmd.Stdin = strings.NewReader(tt.stdin)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err == nil || stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("%v, stdout %q, stderr %q", err, &stdout, &stderr)
			}
		})
	}
}

func TestFleetWithoutARedisServer(t *testing.T) {
	var stdout, stderr strings.Builder
	err := run(t.Context(), []string{"demo", "--fleet", "2", "--redis", "redis://:S3cret@127.0.0.1:1"}, &stdout, &stderr, sandbox.New)
	if err == nil || !strings.Contains(err.Error(), "--redis: there is no working server") || strings.Contains(err.Error()+stderr.String(), "S3cret") {
		t.Errorf("%v, stdout %q, stderr %q", err, &stdout, &stderr)
	}
}

// What the parent makes of the processes' reports. Tokens live 10 s: one is due
// after 4.45 s at the earliest.
func TestFleetVerdict(t *testing.T) {
	at := func(begin float64) *tokenRequest {
		from := time.Unix(0, int64(begin*1e9))
		return &tokenRequest{span: span{from, from.Add(tokenDelay)}, Good: true}
	}
	missing := func(begin float64) *tokenRequest { t := at(begin); t.Missing = true; return t }
	unsaved := func(begin float64, storeDown bool) *tokenRequest {
		t := at(begin)
		t.Unsaved, t.StoreDown = true, storeDown
		return t
	}
	for name, tt := range map[string]struct {
		all   []*tokenRequest
		redis bool
		want  string
	}{
		"one token at a time":                     {[]*tokenRequest{at(0), at(5.1), at(10.2)}, false, "1 first, 2 due"},
		"no rollover yet":                         {[]*tokenRequest{at(0)}, false, "1 first"},
		"two ask for the first token":             {[]*tokenRequest{at(0), at(0.05)}, false, "1 first, 1 for no reason"},
		"two ask at a rollover":                   {[]*tokenRequest{at(0), at(5.1), at(5.3)}, true, "1 first, 1 due, 1 for no reason"},
		"a token is replaced early":               {[]*tokenRequest{at(0), at(4.3)}, true, "1 first, 1 for no reason"},
		"each keeps its own":                      {[]*tokenRequest{at(0), at(5.1), at(5.3), at(10.3), at(10.5)}, false, "1 first, 2 due, 2 for no reason"},
		"Redis lost the token":                    {[]*tokenRequest{at(0), missing(1), at(6)}, true, "1 first, 1 due, 1 as the store had lost the token or its lock"},
		"files lose no token":                     {[]*tokenRequest{at(0), missing(1)}, false, "1 first, 1 for no reason"},
		"the lock was flushed: two ask at once":   {[]*tokenRequest{at(0), at(5.1), at(5.15)}, true, "1 first, 1 due, 1 as the store had lost the token or its lock"},
		"the holder lost its lock in mid-refresh": {[]*tokenRequest{at(0), unsaved(5.1, true), at(5.3)}, true, "1 first, 1 due, 1 whose token the store did not take"},
		"a token is kept for no reason":           {[]*tokenRequest{at(0), unsaved(5.1, false), at(5.3)}, true, "1 first, 1 due, 1 for no reason"},
		"one was killed while it asked":           {[]*tokenRequest{at(0), {Cut: true}, at(6.4)}, false, "1 first, 1 due, 1 cut"},
		"it failed":                               {[]*tokenRequest{at(0), {span: at(5).span}}, true, "1 first, 1 for no reason"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{scenario: &scenario{Lifetime: 10 * time.Second}, size: 1}
			if tt.redis {
				f.redis = "redis://localhost"
			}
			_, broken := f.report([]*process{{result: &memberResult{TokenRequests: tt.all}}}, len(tt.all))
			if got := explain(tt.all, f.scenario, false, tt.redis).String(); got != tt.want || (len(broken) > 0) != strings.Contains(got, "no reason") {
				t.Errorf("%s; broken %q; want %s", got, broken, tt.want)
			}
		})
	}
	late := &memberResult{Waited: 1, TokenRequests: []*tokenRequest{at(0)}}
	f := &fleet{scenario: &scenario{Lifetime: 10 * time.Second}, size: 1}
	if _, broken := f.report([]*process{{result: late}}, 1); len(broken) != 1 || broken[0] != "1 callers waited at a rollover" {
		t.Errorf("a caller waited: broken %q", broken)
	}
	late.HeldUp = time.Second
	if text, broken := f.report([]*process{{result: late}}, 1); len(broken) != 0 || !strings.Contains(text, "the machine held it up for 1.0 s: 0 failed, 1 waited") {
		t.Errorf("a caller waited on a machine that stood still: broken %q\n%s", broken, text)
	}
	if _, broken := f.report([]*process{{result: &memberResult{}}}, 1); len(broken) != 1 {
		t.Errorf("a token request that no process made: broken %q", broken)
	}
}
