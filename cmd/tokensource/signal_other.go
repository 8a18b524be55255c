//go:build !unix

package main

import "os"

// There are no signals to pass on here: the console tells all its processes.
var passedOn []os.Signal

func signalNamed(string) os.Signal { return nil }
