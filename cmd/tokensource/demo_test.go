package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// What a script sees of the demo, and a person who interrupts it.
func TestDemoExitCodes(t *testing.T) {
	failing := func(c sandbox.Config) *sandbox.Sandbox {
		sb := sandbox.NewInProcess(c)
		sb.Always(sandbox.Blink, sandbox.API, sandbox.Fault{Status: http.StatusInternalServerError})
		return sb
	}
	for name, tt := range map[string]struct {
		args   []string
		start  startSandbox
		limit  time.Duration
		code   int
		stderr string // its end
	}{
		"it works":           {nil, sandbox.NewInProcess, time.Hour, exitOK, "work again\n"},
		"a promise broken":   {nil, failing, time.Hour, exitOther, "tokensource: the library broke 1 of its promises: see BROKEN above\n"},
		"interrupted":        {nil, sandbox.NewInProcess, time.Second, exitInterrupted, "tokensource: interrupted\n"},
		"a wrong value":      {[]string{"--workers", "0"}, nil, time.Hour, exitUsage, "see: tokensource demo --help\n"},
		"an argument":        {[]string{"now"}, nil, time.Hour, exitUsage, "see: tokensource demo --help\n"},
		"fleet of nothing":   {[]string{"--fleet", "many"}, nil, time.Hour, exitUsage, "see: tokensource demo --help\n"},
		"no URL, but secret": {[]string{"--fleet", "3", "--redis", "S3cret"}, nil, time.Hour, exitUsage, "see: tokensource demo --help\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				var stdout, stderr strings.Builder
				code := run(ctx, append([]string{"demo", "--workers", "1"}, tt.args...), &stdout, &stderr, tt.start)
				if code != tt.code || !strings.HasSuffix(stderr.String(), tt.stderr) || strings.Contains(stderr.String(), "S3cret") {
					t.Errorf("exit code %d, stderr %q; want %d, %q", code, &stderr, tt.code, tt.stderr)
				}
				if printed := stdout.Len() > 0; printed != (tt.code == exitOK || tt.code == exitOther) {
					t.Errorf("stdout %q", &stdout)
				}
			})
		})
	}
	var stdout, stderr strings.Builder
	if run(t.Context(), []string{"--help"}, &stdout, &stderr, nil); strings.Contains(stdout.String(), "fleet-process") {
		t.Errorf("the help shows what is not for users:\n%s", &stdout)
	}
}
