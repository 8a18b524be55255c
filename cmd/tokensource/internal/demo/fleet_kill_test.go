//go:build unix

package demo

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
	for name, tt := range map[string]struct {
		url      func(*testing.T) string
		lifetime time.Duration // long enough for the lease to lapse between the early window and the end
	}{
		"files": {func(*testing.T) string { return "" }, 7 * time.Second},
		"Redis": {startRedis, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sb *sandbox.Sandbox
			requests := func() int { return sb.Ledger()[sandbox.Blink].TokenRequests }
			var mu sync.Mutex
			asked := 0
			f := &fleet{
				size:  4,
				redis: tt.url(t),
				scenario: &scenario{
					duration: tt.lifetime, Lifetime: tt.lifetime, Workers: 2, Rate: 5,
					start: func(c sandbox.Config) *sandbox.Sandbox {
						sb = sandbox.New(c)
						// The first is answered; the second hangs, with the lock held.
						sb.Script(sandbox.Blink, sandbox.Token, slow, sandbox.Fault{Delay: time.Hour})
						return sb
					},
				},
			}
			f.asking = func(p *process) {
				if slices.ContainsFunc(p.cmd.Args[1:], func(arg string) bool { return arg != memberCommand }) {
					t.Errorf("the command line of a process is %q", p.cmd.Args)
				}
				mu.Lock()
				defer mu.Unlock()
				if asked++; asked != 2 {
					return
				}
				for tick := time.NewTicker(10 * time.Millisecond); requests() < 2; {
					<-tick.C
				}
				must(t, p.cmd.Process.Kill())
			}
			text := f.mustRun(t)
			if asked < 3 || !strings.Contains(text, " cut\n") {
				t.Errorf("%d asked; nobody took over:\n%s", asked, text)
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
			r.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.ReadAll(r); err != nil {
				t.Errorf("a process is still there: %v", err)
			}
		})
	}
}
