// Command bench measures tokensource beside its peers, on the same work in one
// run, and writes what it found into results/: results.json, results.md and
// pictures.
//
//	go -C bench run .         # everything, in about a minute
//	go -C bench run . -quick  # smaller, in 20 s, into results/quick.tmp
//
// Long scenarios run in virtual time, in testing/synctest's bubbles: a caller
// waits there as long as it would, and costs nothing. A bubble belongs to a test,
// so the program runs itself as one.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func main() {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	quick := flags.Bool("quick", false, "measure less, in 20 s, into results/quick.tmp")
	flags.Parse(os.Args[1:])
	dir, plan := "results", fullPlan
	if *quick {
		dir, plan = filepath.Join("results", "quick.tmp"), quickPlan
	}

	testing.Init()
	flag.CommandLine.Parse(nil) // package testing's flags, left as they are
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "bench",
		F: func(t *testing.T) {
			r, err := plan.run(t, os.Stderr)
			if err == nil {
				r.Quick = *quick
				err = r.write(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println("written to", dir)
		},
	}}, nil, nil)
}
