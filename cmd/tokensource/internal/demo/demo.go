// Package demo is tokensource demo: the library and golang.org/x/oauth2 side by
// side against the sandbox. One file per step: scenario (who takes part, what happens when),
// lane (the requests), verdict (what must hold),
// report (what is printed). With --fleet, processes that share a
// store: see fleet.go.
package demo

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tokensource-go/tokensource/sandbox"
)

// UsageError is a mistake in the command line.
type UsageError struct{ error }

func usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, flags only", cmd.Name())
	}
	return nil
}

// NewCommand returns tokensource demo. start is sandbox.New, but for tests.
func NewCommand(start func(sandbox.Config) *sandbox.Sandbox) *cobra.Command {
	s := &scenario{start: start}
	f := &fleet{scenario: s}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the library at work: no account, nothing leaves this machine",
		Long: `Call fake Blink, Flinks and Blackhawk servers on loopback (HTTPS), with tokens
that live for seconds, past a revocation and an outage, beside x/oauth2. With
--fleet, processes share their tokens, sealed, in files or in Redis.

It fails (exit code 4) if the library breaks a promise: a request failed or, in
a fleet, had to wait although a valid token existed, a single-use token was
presented twice, or a token request was made for no reason.`,
		Example: "  tokensource demo\n  tokensource demo --fleet 20 --redis redis://localhost:6379",
		Args:    noArgs,
	}
	flags := cmd.Flags()
	flags.DurationVar(&s.duration, "duration", 8*time.Second, "how long it runs; one and a half --lifetime or more")
	flags.DurationVar(&s.Lifetime, "lifetime", 5*time.Second, "of the tokens; whole seconds, 5s or more")
	flags.IntVar(&s.Workers, "workers", 8, "of each row, or process of a fleet; 1 to 1000")
	flags.Float64Var(&s.Rate, "rate", 10, "requests a second of a worker, 0.1 to 1000")
	flags.IntVar(&f.size, "fleet", 0, "number of processes that share their tokens, 2 to 200")
	flags.StringVar(&f.redis, "redis", "", "where the fleet shares them: redis://... or rediss://...")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		run := func(ctx context.Context, live *progress) (string, []string, error) {
			return s.run(ctx, live, s.lanes())
		}
		switch err := s.check(); {
		case err != nil:
			return err
		case flags.Changed("fleet") && (f.size < 2 || f.size > 200):
			return usagef("--fleet must be 2 to 200")
		case f.size > 0:
			run = f.run
		case f.redis != "":
			return usagef("--redis is for --fleet")
		}
		return execute(cmd, run)
	}
	return cmd
}

// execute runs one of the two and tells what it found.
func execute(cmd *cobra.Command, run func(context.Context, *progress) (text string, broken []string, err error)) error {
	log.SetOutput(io.Discard) // net/http tells it which connections were cut off
	live := newProgress(cmd.ErrOrStderr())
	text, broken, err := run(cmd.Context(), live)
	live.finish()
	fmt.Fprint(cmd.OutOrStdout(), text)
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("the library broke %d of its promises: see BROKEN above", len(broken))
	}
	return err
}

// progress is what the demo says on stderr while it runs: a bar on a terminal, a
// line for each fault everywhere.
type progress struct {
	w       io.Writer
	columns func() int // of the terminal; nil if there is none
	mu      sync.Mutex // a line must not fall into the bar
	over    atomic.Bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.columns = func() int { columns, _, _ := term.GetSize(int(f.Fd())); return columns }
	}
	return p
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw("")
	fmt.Fprintf(p.w, format+"\n", args...)
}

// draw replaces the bar. It never fills the last column: from there a terminal
// goes to the next line.
func (p *progress) draw(bar string) {
	if p.columns != nil && !p.over.Load() {
		fmt.Fprintf(p.w, "\r%.*s\x1b[K", max(0, p.columns()-1), bar)
	}
}

// start keeps the bar moving, beside what numbers says, until finish.
func (p *progress) start(d time.Duration, numbers func() string) {
	const width = 12
	begin := time.Now()
	go func() {
		for p.columns != nil && !p.over.Load() {
			done := min(width, int(width*time.Since(begin)/d))
			p.mu.Lock()
			p.draw(fmt.Sprintf("%s%s %s", strings.Repeat("█", done), strings.Repeat("░", width-done), numbers()))
			p.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

// finish ends the display.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw("")
	p.over.Store(true)
}
