package main

// The fleet as a user runs it: processes, real HTTPS, real time. The test binary
// plays the command.

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/tokensource-go/tokensource/sandbox"
)

const commandVar = "TOKENSOURCE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandVar) != "" {
		main()
	}
	os.Setenv(commandVar, "1") // in what the tests start
	os.Exit(m.Run())
}

func TestFleet(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"demo", "--fleet", "3", "--duration", "7.5s", "--workers", "2", "--rate", "5"}, &stdout, &stderr, sandbox.New)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, &stderr, &stdout)
	}
	number := func(pattern string) int {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(stdout.String())
		if m == nil {
			t.Fatalf("no %s in\n%s", pattern, &stdout)
		}
		n, err := strconv.Atoi(m[1])
		must(t, err)
		return n
	}
	for _, p := range []string{"process 1", "process 2", "process 3"} {
		if number(p+` +(\d+)`) == 0 || number(p+` +\d+ +(\d+)`) != 0 || number(p+` +\d+ +\d+ +\d+ +(\d+)`) == 0 {
			t.Errorf("%s: no requests, failed ones, or no tokens\n%s", p, &stdout)
		}
	}
	if asked := number(`(\d+) token requests: the first, and \d+ rollovers`); asked != number(`in all(?: +\d+){4} +(\d+)\n`) ||
		asked < 2 || asked > 9 || strings.Count(stderr.String(), " asks for a token\n") != asked {
		t.Errorf("token requests are told differently:\n%s\n%s", &stderr, &stdout)
	}
	number(`at least 3 × 3 = (9)\.\n`)
	for line := range strings.Lines(stdout.String() + stderr.String()) {
		if utf8.RuneCountInString(line) > 101 { // with the newline
			t.Errorf("more than 100 columns: %s", line)
		}
	}
	if !strings.Contains(stderr.String(), "s  all are at work\n") || strings.ContainsAny(stderr.String(), "\r\x1b") {
		t.Errorf("stderr: %q", &stderr)
	}
}

func TestFleetThatBreaksAPromise(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"demo", "--fleet=2", "--json", "--duration", "7.5s", "--workers", "1"}, &stdout, &stderr,
		func(c sandbox.Config) *sandbox.Sandbox {
			sb := sandbox.New(c)
			sb.Script(sandbox.Blink, sandbox.API, make([]sandbox.Fault, 5)...)
			sb.Script(sandbox.Blink, sandbox.API, sandbox.Fault{Status: http.StatusInternalServerError})
			return sb
		})
	var r fleetReport
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatalf("%v in %q; exit code %d, stderr %q", err, &stdout, code, &stderr)
	}
	want := "a request failed: 500 Internal Server Error (the first of 1)"
	if code != exitOther || len(r.Broken) != 1 || !strings.HasSuffix(r.Broken[0], want) || !strings.Contains(stderr.String(), "tokensource: broken: "+r.Broken[0]) {
		t.Errorf("exit code %d, broken %q, stderr %q", code, r.Broken, &stderr)
	}
	if len(r.Processes) != 2 || r.Processes[0].Requests+r.Processes[1].Requests != r.Sum.Requests || r.Sum.Requests == 0 || r.Sum.Failed != 1 ||
		r.TokenRequests != r.Sum.TokenRequests || r.TokenRequests != 1+r.Rollovers+r.Unshared || r.WithoutStore != 6 || r.LifetimeS != 5 {
		t.Errorf("%+v", r)
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
	code := run(ctx, []string{"demo", "--fleet", "3", "--duration", "1h"}, &stdout, stderr, sandbox.New)
	if code != exitInterrupted || stdout.Len() > 0 || !strings.HasSuffix(stderr.text.String(), "\ntokensource: interrupted\n") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr.text)
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
	if _, stdout, _ := cli(t, "--help"); strings.Contains(stdout, memberCommand) {
		t.Errorf("the help shows what is not for users:\n%s", stdout)
	}
}

func TestFleetFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--fleet", "1"}, {"--fleet=0"}, {"--fleet", "1000"}, {"--fleet", "many"}, {"--fleet", "3", "4"}, {"--fleet=3", "4"}, {"3"},
		{"--fleet", "--lifetime", "4s"}, {"--fleet", "--duration", "7s"}, {"--fleet", "--workers", "0"},
		{"--redis", "redis://localhost"}, {"--fleet", "--redis", "S3cret"}, {"--fleet", "--redis", "http://:S3cret@localhost"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			code, stdout, stderr := cli(t, append([]string{"demo"}, args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, "see: tokensource demo --help\n") || strings.Contains(stderr, "S3cret") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestFleetWithoutARedisServer(t *testing.T) {
	code, stdout, stderr := cli(t, "demo", "--fleet", "--redis", "redis://:S3cret@127.0.0.1:1")
	if code == exitOK || stdout != "" || !strings.Contains(stderr, "--redis: there is no working server") || strings.Contains(stderr, "S3cret") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
