package main

// tokensource demo lives in a package of its own; here it gets the exit codes of
// this program.

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/demo"
)

func newDemoCommand(start startSandbox) *cobra.Command { return withUsage(demo.NewCommand(start)) }

func newMemberCommand() *cobra.Command { return withUsage(demo.NewMemberCommand()) }

// withUsage makes the demo's mistakes of the user this program's.
func withUsage(cmd *cobra.Command) *cobra.Command {
	wrap := func(f func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			err := f(cmd, args)
			if errors.As(err, new(demo.UsageError)) {
				return usageError{err}
			}
			return err
		}
	}
	cmd.Args, cmd.RunE = wrap(cmd.Args), wrap(cmd.RunE)
	return cmd
}
