package main

// tokensource demo: the library and golang.org/x/oauth2 side by side against
// the sandbox. One file per step: scenario (what happens when), contender (who
// takes part), lane (the requests), verdict (what must hold), report (the table).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func newDemoCommand(start startSandbox) *cobra.Command {
	s := scenario{startSandbox: start}
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
there were more token requests than needed. None of this depends on speed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			return demo(cmd.Context(), &s, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&s.Duration, "duration", 8*time.Second, "how long the workers run; at least one and a half times --lifetime")
	f.DurationVar(&s.Lifetime, "lifetime", 5*time.Second, "of the tokens; whole seconds, at least 5s")
	f.IntVar(&s.Workers, "workers", 16, "for each provider of each library, 1 to 1000")
	f.Float64Var(&s.Rate, "rate", 10, "requests a second of each worker, 0.1 to 1000")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

var errBroken = errors.New("the demo saw a promise broken")

func demo(ctx context.Context, s *scenario, asJSON bool, stdout, stderr io.Writer) error {
	live := newProgress(stderr, s.Duration)
	contenders := []*contender{newTokensource(s), newOAuth2(s), newUnmarked(s)}
	err := s.run(ctx, live, contenders)
	live.finish()
	if err != nil {
		return err
	}
	r := newReport(s, contenders)
	if asJSON {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.print(stdout)
	}
	if err == nil && len(r.Broken) > 0 {
		for _, b := range r.Broken {
			fmt.Fprintln(stderr, "tokensource: broken:", b)
		}
		err = fmt.Errorf("%w (%d, see above)", errBroken, len(r.Broken))
	}
	return err
}
