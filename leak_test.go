//go:build goexperiment.goroutineleakprofile

package tokensource_test

// Built by .ci/run with GOEXPERIMENT=goroutineleakprofile: after all tests the
// runtime itself looks for goroutines that can never go on.

import (
	"bytes"
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	var report bytes.Buffer
	leaks := pprof.Lookup("goroutineleak")
	if err := leaks.WriteTo(&report, 1); err != nil || leaks.Count() > 0 {
		fmt.Fprintf(os.Stderr, "leaked goroutines: %v\n%s", err, &report)
		code = 1
	}
	os.Exit(code)
}
