package main

// A process of the fleet as its parent sees it: what it is told on stdin, what
// it says on stdout, how it ends.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// order is told on stdin: a command line can be read by others on the machine.
// When stdin ends the process finishes, so that none outlives its parent.
type order struct {
	Scenario scenario
	URL, API string // of the sandbox, and of its Blink API
	CA       []byte // the sandbox's certificate
	Store    storeOrder
}

// notice is what a process says; one of these.
type notice struct {
	Ready  bool          `json:"ready,omitempty"`  // it has its first token
	Asking bool          `json:"asking,omitempty"` // it asks for a token
	Result *memberResult `json:"result,omitempty"` // its last word
}

// exitTime is how long a killed process may take.
const exitTime = 5 * time.Second

type process struct {
	Number int
	told   func(*process, notice)

	cmd    *exec.Cmd
	killed bool // on purpose
	asked  int  // token requests
	result *memberResult
}

// run returns when the process has ended: after finish by itself, with ctx by
// force.
func (p *process) run(ctx, finish context.Context, order []byte) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	p.cmd = exec.CommandContext(ctx, self, memberCommand)
	p.cmd.Stderr = &stderr
	p.cmd.WaitDelay = exitTime
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(finish, func() { stdin.Close() })()
	_, err = stdin.Write(order)
	if err == nil {
		err = p.listen(stdout)
	}
	if err != nil {
		p.cmd.Process.Kill()
	}
	err = errors.Join(err, p.cmd.Wait())
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.killed || err == nil && p.result != nil:
		return nil
	}
	return fmt.Errorf("process %d of the fleet ended without a result: %w: %s", p.Number, err, strings.TrimSpace(stderr.String()))
}

func (p *process) listen(stdout io.Reader) error {
	for in := json.NewDecoder(stdout); ; {
		var m notice
		switch err := in.Decode(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if m.Asking {
			p.asked++
		}
		if m.Result != nil {
			p.result = m.Result
		}
		p.told(p, m)
	}
}
