package main

// Exit codes, and errors that may be shown: what the user typed is never
// repeated, for it may be a secret in the wrong place.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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
  1    the command line or the configuration is wrong: fix it
  2    credentials are missing, or the provider rejected them: fix or rotate them
  3    an outage, a rate limit or a timeout: try again later
  4    anything else: the provider refused the request, a check of the demo failed
  130  interrupted`

// usageError is a mistake in the command line or the configuration.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func exitCode(ctx context.Context, err error) int {
	var e *tokensource.Error
	var network *url.Error
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, new(usageError)), errors.Is(err, tokensource.ErrInsecure):
		return exitUsage
	case errors.Is(err, tokensource.ErrCredentials):
		return exitCredentials
	case errors.As(err, &e) && e.Temporary(), errors.Is(err, context.DeadlineExceeded):
		return exitTemporary
	case e != nil && e.Status == 0 && !errors.As(err, &network): // it never got as far as the network
		return exitUsage
	}
	return exitOther
}

// message makes every error begin with the program's name, as the library's do.
func message(err error) string {
	const prefix = "tokensource: "
	return prefix + strings.TrimPrefix(err.Error(), prefix)
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
