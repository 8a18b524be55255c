package main

// The built binary end to end: testdata/script has a script for each command.
// These are the scripts' own commands.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokensource-go/tokensource/sandbox"
)

// patience is how long a script waits for what has to happen.
const patience = time.Minute

func TestScripts(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			return nil
		},
		Condition: func(condition string) (bool, error) { return has(t, condition) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sandbox":   startScriptSandbox,
			"server":    startServer,
			"proxy":     startProxy,
			"control":   control,
			"ledger":    ledger,
			"exits":     exits,
			"await":     await,
			"awaitgone": awaitGone,
			"renewed":   renewed,
			"private":   wantPrivate,
			"nosecrets": noSecrets,
			"served":    served,
			"proc":      proc,
			"silent":    silent,
			"activate":  activate,
			"signal":    sendSignal,
		},
	})
}

// has is the condition [has:PROGRAM]: the lines of a program that this machine
// does not have are left out, and the test says so.
func has(t *testing.T, condition string) (bool, error) {
	program, ok := strings.CutPrefix(condition, "has:")
	if !ok {
		return false, fmt.Errorf("there is no condition %q", condition)
	}
	_, err := exec.LookPath(program)
	if err != nil && os.Getenv("REQUIRE_INTERPRETERS") != "" {
		return false, err
	}
	if err != nil {
		t.Log("left out: ", err)
	}
	return err == nil, nil
}

// scriptSandboxes are the sandboxes of the scripts that run: TestScript → Sandbox.
var scriptSandboxes sync.Map

func sandboxOf(ts *testscript.TestScript) *sandbox.Sandbox {
	sb, ok := scriptSandboxes.Load(ts)
	if !ok {
		ts.Fatalf("the script has no sandbox")
	}
	return sb.(*sandbox.Sandbox)
}

// startScriptSandbox starts a sandbox and sets the variables of its users. Its
// argument is the lifetime of the tokens.
func startScriptSandbox(ts *testscript.TestScript, _ bool, args []string) {
	config := sandbox.Config{Control: true}
	if len(args) > 0 {
		var err error
		config.TokenLifetime, err = time.ParseDuration(args[0])
		ts.Check(err)
	}
	sb, err := sandbox.Start(config)
	ts.Check(err)
	ts.Defer(sb.Close)
	ca := ts.MkAbs("ca.pem")
	ts.Check(os.WriteFile(ca, sb.CertificatePEM(), 0o600))
	for _, p := range providers() {
		ts.Setenv(p.baseVar, sb.URL)
		ts.Setenv(p.idVar, sandbox.ID)
		ts.Setenv(p.secretVar, sandbox.Secret)
	}
	ts.Setenv(caFileVar, ca)
	ts.Setenv("TOKENSOURCE_SANDBOX", sb.URL)
	scriptSandboxes.Store(ts, sb)
}

// control sends an order to the control API.
func control(ts *testscript.TestScript, _ bool, args []string) {
	sb := sandboxOf(ts)
	resp, err := sb.Client().Post(sb.URL+"/_sandbox/script", "application/json", strings.NewReader(args[0]))
	ts.Check(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		ts.Fatalf("the control API answers %s", resp.Status)
	}
}

// ledger PROVIDER COUNT N compares a count of the ledger.
func ledger(ts *testscript.TestScript, _ bool, args []string) {
	text, err := json.Marshal(sandboxOf(ts).Ledger()[sandbox.Provider(args[0])])
	ts.Check(err)
	var counts map[string]int
	ts.Check(json.Unmarshal(text, &counts))
	if got, ok := counts[args[1]]; !ok || strconv.Itoa(got) != args[2] {
		ts.Fatalf("%s: %s", args[0], text)
	}
}

// exits CODE PROGRAM ARGS... runs a program that has to end with this exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// until waits for a condition.
func until(ts *testscript.TestScript, what string, condition func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// await FILE [PATTERN] waits until a file is there and matches.
func await(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + strings.Join(args[1:], ""))
	until(ts, fmt.Sprint(args), func() bool {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && pattern.Match(content)
	})
}

// awaitGone FILE waits until a file is no more.
func awaitGone(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0]+" is gone", func() bool {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		return errors.Is(err, os.ErrNotExist)
	})
}

// renewed FILE waits until a file holds something else than now. What is there in
// between must be whole. (That it is there shows TestWatch, on any machine.)
func renewed(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	before, err := os.ReadFile(path)
	ts.Check(err)
	until(ts, args[0]+" is renewed", func() bool {
		now, err := os.ReadFile(path)
		if err == nil && !strings.HasSuffix(string(now), "\n") {
			ts.Fatalf("half a file: %d bytes", len(now))
		}
		return err == nil && string(now) != string(before)
	})
}

// wantPrivate FILE... checks that others cannot access the files.
func wantPrivate(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if info.Mode().Perm() != 0o600 {
			ts.Fatalf("%s: mode %v", file, info.Mode())
		}
	}
}

// noSecrets FILE... searches files, stdout and stderr for the secret and tokens.
func noSecrets(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		content := ts.ReadFile(file)
		for _, secret := range []string{sandbox.Secret, sandbox.TokenMark, sandbox.FlinksTokenMark} {
			if strings.Contains(content, secret) {
				ts.Fatalf("%s shows %q", file, secret)
			}
		}
	}
}

// sendSignal NAME sends a signal to the commands in the background.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if err := cmd.Process.Signal(signalNamed(args[0])); !errors.Is(err, os.ErrProcessDone) {
			ts.Check(err)
		}
	}
}
