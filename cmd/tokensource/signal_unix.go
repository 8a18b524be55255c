//go:build unix

package main

import (
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// endings are the signals that end the process in good order.
func endings() []os.Signal { return heeded(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) }

// passedOn are the signals that a command after -- gets from this process.
func passedOn() []os.Signal {
	return heeded(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
}

// heeded leaves out SIGHUP if nohup has it ignored.
func heeded(signals ...os.Signal) []os.Signal {
	return slices.DeleteFunc(signals, func(s os.Signal) bool { return s == syscall.SIGHUP && signal.Ignored(s) })
}

// signalNamed returns nil for what is no signal: HUP, SIGHUP and hup are one.
func signalNamed(name string) os.Signal {
	if n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); n != 0 {
		return n
	}
	return nil
}
