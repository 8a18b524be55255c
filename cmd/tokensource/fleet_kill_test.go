//go:build unix

package main

// Processes of the fleet that are killed, and their parent.

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// kill -9 of the lock's holder in the middle of a refresh: another process takes
// over while the token is still good, and no caller notices. The kernel frees
// the lock of a file; that in Redis lapses with its lease.
func TestKilledDuringARefresh(t *testing.T) {
	t.Parallel()
	const (
		lifetime = 8 * time.Second
		lease    = time.Second
	)
	for name, url := range map[string]func(*testing.T) string{
		"files": func(*testing.T) string { return "" },
		"Redis": startRedis,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sb *sandbox.Sandbox
			requests := func() int { return sb.Ledger()[sandbox.Blink].TokenRequests }
			var mu sync.Mutex
			var asked []time.Time
			f := &fleet{
				Size:  4,
				Redis: url(t),
				scenario: scenario{
					Duration: lifetime,
					Lifetime: lifetime, Workers: 2, Rate: 5,
					startSandbox: func(c sandbox.Config) *sandbox.Sandbox {
						sb = sandbox.New(c)
						// The first is answered; the second hangs, with the lock held.
						sb.Script(sandbox.Blink, sandbox.Token, slow, sandbox.Fault{Delay: time.Hour})
						return sb
					},
				},
				lease: lease,
			}
			f.asking = func(p *process) {
				if slices.ContainsFunc(p.cmd.Args[1:], func(arg string) bool { return arg != memberCommand }) {
					t.Errorf("the command line of a process is %q", p.cmd.Args)
				}
				now := time.Now()
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, now)
				if len(asked) != 2 {
					return
				}
				for tick := time.NewTicker(10 * time.Millisecond); requests() < 2; {
					<-tick.C
				}
				p.killed = true
				must(t, p.cmd.Process.Kill())
			}
			r := f.mustRun(t)
			if len(asked) < 3 {
				t.Fatal("nobody took over")
			}
			t.Logf("another process took over %v after the kill", asked[2].Sub(asked[1]).Round(time.Millisecond))
			if used := asked[0].Add(lifetime - f.margin()); asked[2].After(used) && r.Sum.LateWaited == 0 {
				t.Errorf("another process took over after the token was used up")
			}
			if r.TokenRequests != 1+r.Rollovers+r.Unshared || r.Unshared < 1 || r.Unshared > 2 {
				t.Errorf("%d token requests, %d rollovers, %d for nothing", r.TokenRequests, r.Rollovers, r.Unshared)
			}
			if dead := slices.IndexFunc(r.Processes, func(c counts) bool { return c.Requests == 0 }); dead < 0 {
				t.Error("no process was killed")
			}
		})
	}
}

// No process outlives its parent, however that ends. All of them inherit the
// writing end of a pipe.
func TestFleetEndsWithItsParent(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]os.Signal{"killed": os.Kill, "interrupted": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			must(t, err)
			defer r.Close()
			self, err := os.Executable()
			must(t, err)
			parent := exec.Command(self, "demo", "--fleet", "3", "--duration", "1h")
			parent.ExtraFiles = []*os.File{w}
			stderr, err := parent.StderrPipe()
			must(t, err)
			must(t, parent.Start())
			w.Close()
			for lines := bufio.NewScanner(stderr); lines.Scan() && !strings.Contains(lines.Text(), "all are at work"); {
			}
			must(t, parent.Process.Signal(sig))
			io.Copy(io.Discard, stderr)
			parent.Wait()
			if code := parent.ProcessState.ExitCode(); sig == os.Interrupt && code != exitInterrupted {
				t.Errorf("exit code %d", code)
			}
			r.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.ReadAll(r); err != nil {
				t.Errorf("a process is still there: %v", err)
			}
		})
	}
}
