package main

// tokensource demo: the library and golang.org/x/oauth2 side by side against
// the sandbox. One file per step: scenario (what happens when), contender (who
// takes part), lane (the requests), verdict (what must hold), report (the table).
// With --fleet, processes that share a store: see fleet.go.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newDemoCommand(start startSandbox) *cobra.Command {
	f := fleet{scenario: scenario{startSandbox: start}}
	s := &f.scenario
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the library at work: no account, nothing leaves this machine",
		Long: `Start fake Blink, Flinks and Blackhawk servers on loopback (HTTPS), with tokens
that live for seconds, and call them from many workers at a steady rate. On the
way every token is revoked once, and the token endpoints fail for a while. The
same runs with golang.org/x/oauth2's own token cache and transport, at the same
time and with the same faults. A table compares the two.

The demo fails (exit code 4) where the library breaks a promise: a request
failed while a valid token existed, a single-use token was presented twice, or
there were more token requests than needed. None of this depends on speed.

With --fleet it shows a fleet instead: processes of their own that call the fake
Blink and share their tokens, sealed, in files of a temporary directory or in
Redis. It fails where a request failed, a caller had to wait at a rollover, or
there were more token requests than the first and one for each rollover.`,
		Example: `  tokensource demo
  tokensource demo --fleet 20 --redis redis://localhost:6379`,
		Args: fleetArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			if !flags.Changed("fleet") {
				if flags.Changed("redis") {
					return usagef("--redis is for --fleet")
				}
				return demo(cmd, s.check, s.compare, s.Duration, asJSON)
			}
			if !flags.Changed("duration") {
				f.Duration = fleetDuration
			}
			if !flags.Changed("workers") {
				f.Workers = fleetWorkers
			}
			return demo(cmd, f.check, f.run, f.Duration, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.DurationVar(&s.Duration, "duration", 8*time.Second, fmt.Sprintf("how long the workers run; at least one and a half times --lifetime; for a fleet %v", fleetDuration))
	flags.DurationVar(&s.Lifetime, "lifetime", 5*time.Second, "of the tokens; whole seconds, at least 5s")
	flags.IntVar(&s.Workers, "workers", 16, fmt.Sprintf("for each provider of each library, 1 to 1000; for each process of a fleet %d", fleetWorkers))
	flags.Float64Var(&s.Rate, "rate", 10, "requests a second of each worker, 0.1 to 1000")
	flags.IntVar(&f.Size, "fleet", 0, "number of processes that share their tokens, 2 to 200")
	flags.Lookup("fleet").NoOptDefVal = strconv.Itoa(fleetSize)
	flags.StringVar(&f.Redis, "redis", "", "URL of the Redis in which the fleet shares them, as redis://localhost:6379 or rediss://...")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

var errBroken = errors.New("the demo saw a promise broken")

// findings is a report.
type findings interface {
	print(io.Writer) error
	broken() []string
}

// demo runs one of the two and tells what it found.
func demo[R findings](cmd *cobra.Command, check func() error, run func(context.Context, *progress) (R, error), d time.Duration, asJSON bool) error {
	if err := check(); err != nil {
		return err
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	live := newProgress(stderr, d)
	r, err := run(cmd.Context(), live)
	live.finish()
	switch {
	case err != nil:
	case asJSON:
		err = json.NewEncoder(stdout).Encode(r)
	default:
		err = r.print(stdout)
	}
	if err != nil || len(r.broken()) == 0 {
		return err
	}
	for _, b := range r.broken() {
		fmt.Fprintln(stderr, "tokensource: broken:", b)
	}
	return fmt.Errorf("%w (%d, see above)", errBroken, len(r.broken()))
}

// compare is the demo without a fleet.
func (s *scenario) compare(ctx context.Context, live *progress) (*report, error) {
	contenders := []*contender{newTokensource(s), newOAuth2(s), newUnmarked(s)}
	if err := s.run(ctx, live, contenders); err != nil {
		return nil, err
	}
	return newReport(s, contenders), nil
}
