// Command tokensource gets bearer tokens for Blink, Flinks and Blackhawk, for
// scripts and for programs in any language:
//
//	tokensource token blink                      one token, for a script
//	tokensource token blink --watch --file PATH  a file that always holds a token that is good
//	tokensource serve                            tokens for programs in any language, as standard OAuth 2.0
//	tokensource sandbox                          fake providers, for the tests of a program in any language
//	tokensource doctor blink                     what stands between this machine and a token
//	tokensource demo                             the library at work; needs no account
//
// Each has help with examples (tokensource COMMAND --help), completion for the
// usual shells (tokensource completion) and a man page (tokensource man DIRECTORY
// writes them all).
//
// Credentials come from the environment or from files, never from the command
// line, which others on the machine can read. What was asked for goes to stdout,
// everything else to stderr, as text or as JSON (--log-format json); neither
// shows a secret. The exit code tells a mistake to be fixed (1) and credentials to
// be rotated (2) from an outage to be waited for (3).
//
// It is a module of its own, so that its dependencies are not the library's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, sandbox.New))
}

// startSandbox is sandbox.New, but for tests.
type startSandbox func(sandbox.Config) *sandbox.Sandbox

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, start startSandbox) int {
	root := newRootCommand(start)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	code := exitCode(ctx, err)
	var decided exitError
	switch {
	case err == nil:
	case errors.As(err, &decided):
		if decided.err != nil {
			fail(cmd, message(decided.err), code, "")
		}
	case code == exitUsage:
		fail(cmd, message(err), code, "see: "+cmd.CommandPath()+" --help")
	case code == exitInterrupted:
		fail(cmd, "interrupted", code, "")
	default:
		fail(cmd, message(err), code, "")
	}
	return code
}

func newRootCommand(start startSandbox) *cobra.Command {
	root := &cobra.Command{
		Use:   "tokensource",
		Short: "Bearer tokens for Blink, Flinks and Blackhawk",
		Long: `Bearer tokens for Blink, Flinks and Blackhawk.

  tokensource demo           see the library at work; needs no account, stays on this machine
  tokensource token blink    get one real token, for a script, or keep a file fresh
  tokensource serve          tokens for programs in any language, as standard OAuth 2.0
  tokensource sandbox        fake providers, for the tests of a program in any language
  tokensource doctor blink   find out what stands between this machine and a token
  tokensource completion     have the shell complete commands, flags and their values

` + exitCodesHelp,
		Version:       version(),
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	addLogFlag(root)
	root.AddCommand(newDemoCommand(start), newMemberCommand())
	root.AddCommand(newTokenCommand(), newServeCommand(), newSandboxCommand(), newDoctorCommand(), newManCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tokensource", cmd.Root().Version)
			return err
		},
	})
	root.InitDefaultCompletionCmd()
	keepOrder(root)
	return root
}

// version is what the go command stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
