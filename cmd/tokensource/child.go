package main

// A command that runs beside this one, and who is told of a new token.

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// runChild runs a command until it ends and returns its exit code as an error.
// The variables are added to its environment, from which the credentials are
// taken away. Signals are passed on to it.
func runChild(cmd *cobra.Command, args, variables []string, started func(*os.Process)) error {
	child := exec.Command(args[0], args[1:]...)
	child.Env = append(withoutCredentials(os.Environ()), variables...)
	child.Stdin, child.Stdout, child.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	signals := make(chan os.Signal, 8)
	if passedOn := passedOn(); len(passedOn) > 0 { // none would be all of them
		signal.Notify(signals, passedOn...)
		defer signal.Stop(signals)
	}
	if err := cmd.Context().Err(); err != nil { // by a signal that came before these were passed on
		return err
	}
	if err := child.Start(); err != nil {
		var notFound *exec.Error
		if errors.As(err, &notFound) {
			err = notFound.Err
		}
		return usagef("the command after -- cannot be run: %w", withoutPath(err))
	}
	started(child.Process)
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt || !term.IsTerminal(int(os.Stdin.Fd())) { // a terminal has told it already
				_ = child.Process.Signal(s) // it may have ended meanwhile
			}
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return err
			}
			code := exit.ExitCode()
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				code = 128 + int(status.Signal())
			}
			return exitError{code: code}
		}
	}
}

// withoutCredentials is an environment without the variables that the providers'
// credentials and Redis's password are in: a command that is handed tokens needs
// no more.
func withoutCredentials(environ []string) []string {
	names := []string{redisVar}
	for _, p := range providers() {
		names = append(names, p.idVar, p.secretVar)
	}
	return slices.DeleteFunc(environ, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}

// receiver gets a signal for each new token.
type receiver struct {
	signal  os.Signal // nil for none
	process *os.Process
	child   atomic.Pointer[os.Process] // if there is no other process
}

// parseSignal reads PID:NAME, or NAME for the child.
func parseSignal(text string, child bool) (*receiver, error) {
	r := &receiver{}
	if text == "" {
		return r, nil
	}
	pid, name, other := strings.Cut(text, ":")
	if !other {
		name = pid
	}
	if r.signal = signalNamed(name); r.signal == nil {
		return nil, usagef("--signal is PID:NAME as 4711:HUP, or NAME: there is no such signal on this system")
	}
	if !other {
		if !child {
			return nil, usagef("--signal without a PID is for a command after --")
		}
		return r, nil
	}
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return nil, usagef("--signal is PID:NAME as 4711:HUP: the PID is not a number of a process")
	}
	if r.process, err = os.FindProcess(n); err == nil {
		err = r.process.Signal(syscall.Signal(0))
	}
	if err != nil {
		return nil, usagef("--signal: %w", err)
	}
	return r, nil
}

func (r *receiver) send() error {
	process := r.process
	if process == nil {
		process = r.child.Load()
	}
	if r.signal == nil || process == nil {
		return nil
	}
	return process.Signal(r.signal)
}
