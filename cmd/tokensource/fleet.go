package main

// tokensource demo --fleet: many processes that share their tokens through one
// store. Here they are started, watched and ended. fleet_process.go is a process
// as its parent sees it, fleet_member.go what it does, fleet_store.go where the
// tokens lie, fleet_verdict.go what must hold, fleet_report.go the table.

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tokensource-go/tokensource/sandbox"
)

const (
	fleetSize     = 8
	maxFleet      = 200
	fleetWorkers  = 4
	fleetDuration = 15 * time.Second

	startTime = time.Second // of a process, at most; they start a few at a time
)

type fleet struct {
	scenario
	Size  int    // processes
	Redis string // URL; without, the store is a temporary directory

	lease  time.Duration  // of the refresh lock in Redis; default: the store's
	asking func(*process) // told of each token request; may be nil
}

// fleetArgs lets "--fleet 3" be said for "--fleet=3": a flag whose value may be
// left out takes none from the next argument.
func fleetArgs(cmd *cobra.Command, args []string) error {
	if f := cmd.Flag("fleet"); f.Changed && f.Value.String() == f.NoOptDefVal && len(args) == 1 {
		if _, err := strconv.Atoi(args[0]); err != nil || f.Value.Set(args[0]) != nil {
			return usagef("--fleet takes a number of processes")
		}
		return nil
	}
	return noArgs(cmd, args)
}

func (f *fleet) check() error {
	if f.Size < 2 || f.Size > maxFleet {
		return usagef("--fleet must be 2 to %d", maxFleet)
	}
	return f.scenario.check()
}

// run lets the processes work until all of them have had the duration.
func (f *fleet) run(ctx context.Context, live *progress) (*fleetReport, error) {
	store, remove, err := f.prepareStore(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	sb := f.startSandbox(sandbox.Config{TokenLifetime: f.Lifetime})
	defer sb.Close()
	sb.Always(sandbox.Blink, sandbox.Token, slow)
	order, err := f.order(sb, store)
	if err != nil {
		return nil, err
	}

	limit := f.Duration + time.Duration(f.Size)*startTime + f.patience()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	finish, end := context.WithCancel(ctx)
	defer end()

	live.say("%s", f)
	begin := time.Now()
	starting := make(chan struct{}, 2*runtime.NumCPU())
	atWork := make(chan struct{}, f.Size)
	processes := make([]*process, f.Size)
	for i := range processes {
		p := &process{Number: i + 1, told: func(p *process, m notice) {
			switch {
			case m.Ready:
				<-starting
				atWork <- struct{}{}
			case m.Asking:
				live.say("%4.1fs  process %d asks for a token", time.Since(begin).Seconds(), p.Number)
				if f.asking != nil {
					f.asking(p)
				}
			}
		}}
		processes[i] = p
		group.Go(func() error {
			select {
			case starting <- struct{}{}:
				return p.run(ctx, finish, order)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	group.Go(func() error {
		defer end()
		for range processes {
			select {
			case <-atWork:
			case <-ctx.Done():
				return nil
			}
		}
		live.say("%4.1fs  all are at work", time.Since(begin).Seconds())
		live.start(func() string { return f.numbers(sb) })
		select {
		case <-time.After(f.Duration):
		case <-ctx.Done():
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return newFleetReport(f, processes, sb.Ledger()[sandbox.Blink]), nil
}

func (f *fleet) numbers(sb *sandbox.Sandbox) string {
	counts := sb.Ledger()[sandbox.Blink]
	return fmt.Sprintf("%d processes: %d requests, %d token requests", f.Size, counts.Accepted, counts.TokenRequests)
}

// order is what all processes are told.
func (f *fleet) order(sb *sandbox.Sandbox, store storeOrder) ([]byte, error) {
	resp, err := sb.Client().Get(sb.URL)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return json.Marshal(order{
		Scenario: f.scenario,
		URL:      sb.URL,
		API:      sb.APIURL(sandbox.Blink),
		CA:       resp.TLS.PeerCertificates[0].Raw,
		Store:    store,
	})
}

// alone is the least that a process by itself would have asked for a token: it
// does so when its early window opens, which is at the latest here.
func (f *fleet) alone() int {
	return 1 + int(f.Duration/(f.latestRefresh()+tokenDelay))
}

// latestRefresh is the age of a token at which its early window is open in any
// process: each of them shortens it by up to a fifth.
func (s *scenario) latestRefresh() time.Duration { return s.Lifetime - s.earlyWindow()*4/5 }

func (f *fleet) String() string {
	where := "files"
	if f.Redis != "" {
		where = "Redis"
	}
	return fmt.Sprintf("%d processes of %d workers, %g requests a second each; tokens live %v, shared in %s",
		f.Size, f.Workers, f.Rate, f.Lifetime, where)
}
