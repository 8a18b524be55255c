package main

// Exit codes, and errors that may be shown: what the user typed is never
// repeated, for it may be a secret in the wrong place.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokensource-go/tokensource"
)

const (
	exitOK          = 0
	exitUsage       = 1
	exitCredentials = 2
	exitTemporary   = 3
	exitOther       = 4
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

const exitCodesHelp = `Exit codes:
  0    done
  1    the command line or the configuration is wrong, certificates and addresses
       (404, a redirect) too: fix it
  2    credentials are missing, or the provider rejected them: fix or rotate them
  3    an outage, a host that cannot be found or reached, a rate limit or a
       timeout: try again later
  4    anything else: the provider refused the request, a check of the demo failed
  130  interrupted
A command after -- decides by its own exit code (128 + N if signal N ended it).`

// usageError is a mistake in the command line or the configuration.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends the program with a code of its own: a command's after --, or the
// doctor's.
type exitError struct {
	code int
	err  error // nil if there is nothing to say
}

func (e exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

func exitCode(ctx context.Context, err error) int {
	var e *tokensource.Error
	var decided exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &decided):
		return decided.code
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, new(usageError)), errors.Is(err, tokensource.ErrInsecure):
		return exitUsage
	case errors.Is(err, tokensource.ErrCredentials):
		return exitCredentials
	case errors.As(err, &e) && e.Temporary(), errors.Is(err, context.DeadlineExceeded):
		return exitTemporary
	case e != nil && misconfigured(e):
		return exitUsage
	}
	return exitOther
}

// misconfigured reports whether a lasting failure is about the way to the
// provider: no answer came (a certificate, a proxy, a setting), or one of another
// place than the token endpoint.
func misconfigured(e *tokensource.Error) bool {
	return e.Status == 0 || e.Status/100 == 3 || slices.Contains([]int{
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusGone,
	}, e.Status)
}

// message is an error without the program's name, which the library's begin
// with and others do not.
func message(err error) string {
	text := strings.TrimPrefix(err.Error(), "tokensource: ")
	var e *tokensource.Error
	if fault := connectionFault(err); fault != "" && errors.As(err, &e) {
		text = e.Provider + ": " + fault
	}
	return inFlags(text)
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		return usagef("unknown command")
	}
	return usagef("%s takes no arguments, flags only", cmd.Name())
}

// childArgs takes a command to run, and only after a --.
func childArgs(cmd *cobra.Command, args []string) error {
	if at := cmd.ArgsLenAtDash(); at > 0 || at < 0 && len(args) > 0 {
		return usagef("%s takes no arguments but a command after --", cmd.Name())
	}
	return nil
}

// flagError is pflag's error without the value.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usagef("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return usagef("unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return usagef("flag --%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return usagef("flag --%s does not take this value: it is %s", invalid.GetFlag().Name, invalid.GetFlag().Usage)
	}
	return usagef("bad flag syntax")
}
