// Command tokensource shows the library at work (tokensource demo, which needs
// no account) and gets a token for scripts (tokensource token).
//
// It is a module of its own, so that its dependencies are not the library's.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	switch {
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "tokensource: interrupted")
	case err != nil:
		fmt.Fprintln(stderr, message(err))
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "see: %s --help\n", cmd.CommandPath())
	}
	return code
}

func newRootCommand(start startSandbox) *cobra.Command {
	root := &cobra.Command{
		Use:   "tokensource",
		Short: "Bearer tokens for Blink, Flinks and Blackhawk",
		Long: `Bearer tokens for Blink, Flinks and Blackhawk.

  tokensource demo           see the library at work; needs no account, stays on this machine
  tokensource token blink    get one real token, for a script

` + exitCodesHelp,
		Version:           version(),
		Args:              noArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true, // run prints them
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newDemoCommand(start), newMemberCommand(), newTokenCommand(), newServeCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tokensource", cmd.Root().Version)
			return err
		},
	})
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
