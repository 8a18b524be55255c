package demo

// tokensource demo --fleet: many processes that share their tokens through one
// store. Here they are started, watched and ended, and what they found is told.
// fleet_member.go is what such a process does.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokensource-go/tokensource/sandbox"
)

type fleet struct {
	*scenario
	size  int    // processes
	redis string // URL; without, the store is a temporary directory

	asking func(*process) // told of each token request; may be nil
}

// run lets the processes work until all of them have had the duration.
func (f *fleet) run(ctx context.Context, live *progress) (text string, broken []string, err error) {
	dir, err := os.MkdirTemp("", "tokensource-fleet-")
	if err == nil {
		defer os.RemoveAll(dir)
		_, err = openStore(ctx, dir, f.redis)
	}
	if err != nil {
		return "", nil, err
	}
	sb := f.start(sandbox.Config{TokenLifetime: f.Lifetime})
	defer sb.Close()
	sb.Always(sandbox.Blink, sandbox.Token, slow)
	order, _ := json.Marshal(order{f.scenario, sb.URL, sb.APIURL(sandbox.Blink), sb.CertificatePEM(), dir, f.redis})
	ctx, cancel := context.WithTimeoutCause(ctx, f.duration+time.Duration(f.size)*time.Second+patience, errSlow)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	finish, end := context.WithCancel(ctx)
	defer end()
	live.say("%s", f)
	begin := time.Now()
	starting, atWork := make(chan struct{}, 2*runtime.NumCPU()), make(chan struct{}, f.size)
	processes := make([]*process, f.size)
	for i := range processes {
		p := &process{number: i + 1}
		p.ready = func() {
			<-starting
			if atWork <- struct{}{}; len(atWork) == f.size {
				live.say("%4.1fs  all are at work", time.Since(begin).Seconds())
				live.start(f.duration, func() string {
					n := sb.Ledger()[sandbox.Blink]
					return fmt.Sprintf("%d requests, %d token requests", n.Accepted, n.TokenRequests)
				})
				time.AfterFunc(f.duration, end)
			}
		}
		p.asking = func() {
			live.say("%4.1fs  process %d asks for a token", time.Since(begin).Seconds(), p.number)
			if f.asking != nil {
				f.asking(p)
			}
		}
		processes[i] = p
		group.Go(func() error {
			select {
			case starting <- struct{}{}:
				return p.run(ctx, finish, order)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	if err = group.Wait(); err == nil {
		text, broken = f.report(processes, sb.Ledger()[sandbox.Blink].TokenRequests)
	}
	return text, broken, err
}

func (f *fleet) String() string {
	return fmt.Sprintf("%d processes, %d workers each, %g requests a second each;\ntokens live %v, shared in %s",
		f.size, f.Workers, f.Rate, f.Lifetime, map[bool]string{false: "files", true: "Redis"}[f.redis != ""])
}

// report returns all that is printed, and the promises that the library broke.
func (f *fleet) report(processes []*process, asked int) (text string, broken []string) {
	var requests, failed, waited int
	var all []*tokenRequest
	var heldUp time.Duration
	for _, p := range processes {
		m := p.result
		if m == nil {
			m = &memberResult{TokenRequests: slices.Repeat([]*tokenRequest{{Cut: true}}, p.asked)}
		}
		requests, failed, waited = requests+m.Requests, failed+m.Failed, waited+m.Waited
		all, heldUp = append(all, m.TokenRequests...), max(heldUp, m.HeldUp)
		if n := len(m.Faults); n > 0 {
			broken = append(broken, fmt.Sprintf("process %d: %s (the first of %d)", p.number, m.Faults[0], n))
		}
	}
	if waited > 0 && !f.excusable(heldUp) {
		broken = append(broken, fmt.Sprintf("%d callers waited at a rollover", waited))
	}
	why := explain(all, f.scenario, false, f.redis != "")
	if why[noReason] += max(0, asked-len(all)); why[noReason] > 0 {
		broken = append(broken, fmt.Sprintf("%d of %d token requests had no reason", why[noReason], asked))
	}
	b := new(strings.Builder)
	fmt.Fprintf(b, "\n%v of %v\n\n", f.duration, f)
	for _, text := range broken {
		fmt.Fprintf(b, "  BROKEN  %s\n", text)
	}
	if len(broken) == 0 {
		if failed+waited > 0 {
			fmt.Fprintf(b, "  but the machine held it up for %.1f s: %d failed, %d waited\n", heldUp.Seconds(), failed, waited)
		}
		reasons := why.String()
		if len(reasons) > 50 {
			reasons = strings.ReplaceAll(reasons, ", ", ",\n      ")
		}
		fmt.Fprintf(b, "  ok  no request failed\n  ok  no caller waited at a rollover\n  ok  %d token requests: %s\n", asked, reasons)
	}
	// A process by itself asks when its early window opens, which it shortens by
	// up to a fifth.
	alone := 1 + int(f.duration/(f.Lifetime-f.earlyWindow()*4/5+tokenDelay))
	fmt.Fprintf(b, `
You have just seen %d processes share their tokens: %d token requests were
enough for %d requests. Without the store it would have been at least %d,
%d for each process.
`, f.size, asked, requests, f.size*alone, alone)
	return b.String(), broken
}

// order is told on stdin: a command line can be read by others on the machine.
// When stdin ends the process finishes, so that none outlives its parent.
type order struct {
	Scenario   *scenario
	URL, API   string // of the sandbox, and of its Blink API
	CA         []byte // the sandbox's certificate, PEM
	Dir, Redis string // of the store
}

// notice is what a process says; one of these.
type notice struct {
	Ready  bool          // it has its first token
	Asking bool          // it asks for a token
	Result *memberResult // its last word
}

type process struct {
	number        int
	ready, asking func() // told of that
	cmd           *exec.Cmd
	asked         int           // token requests
	result        *memberResult // nil if it was killed
}

// run returns when the process has ended: after finish by itself, with ctx by
// force.
func (p *process) run(ctx, finish context.Context, order []byte) error {
	self, err := os.Executable()
	var stderr bytes.Buffer
	p.cmd = exec.CommandContext(ctx, self, memberCommand)
	p.cmd.Stderr, p.cmd.WaitDelay = &stderr, 5*time.Second
	stdin, errIn := p.cmd.StdinPipe()
	stdout, errOut := p.cmd.StdoutPipe()
	if err := errors.Join(err, errIn, errOut, p.cmd.Start()); err != nil {
		return err
	}
	defer context.AfterFunc(finish, func() { stdin.Close() })()
	stdin.Write(order) // if that fails, the process says nothing and ends
	p.listen(stdout)
	switch err = p.cmd.Wait(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.result != nil || p.cmd.ProcessState.ExitCode() < 0: // killed
		return nil
	}
	return fmt.Errorf("process %d of the fleet ended without a result: %w: %s", p.number, err, strings.TrimSpace(stderr.String()))
}

func (p *process) listen(stdout io.Reader) {
	in := json.NewDecoder(stdout)
	for m := (notice{}); in.Decode(&m) == nil; m = (notice{}) {
		switch {
		case m.Ready:
			p.ready()
		case m.Asking:
			p.asked++
			p.asking()
		default:
			p.result = m.Result
		}
	}
}
