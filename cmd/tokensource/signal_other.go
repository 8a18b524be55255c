//go:build !unix

package main

import (
	"os"
	"syscall"
)

// endings are the signals that end the process in good order.
func endings() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// passedOn is empty: the console tells all its processes.
func passedOn() []os.Signal { return nil }

func signalNamed(string) os.Signal { return nil }
