package main

import (
	"sync"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

// Fleet is how many token requests a number of processes make, with a Store or
// without. A library without one makes those of "without".
type Fleet struct {
	Processes int  `json:"processes"`
	Store     bool `json:"store"`

	AtStart     int     `json:"token_requests_at_start"`
	Rollovers   int     `json:"rollovers"`
	Requests    int     `json:"token_requests_at_rollovers"`
	PerRollover float64 `json:"token_requests_per_rollover"`
	Waited      int     `json:"calls_that_waited_at_rollovers"`
}

const (
	fleetEndpoint = 500 * time.Millisecond
	fleetWorkers  = 4 // of each process, with one call a second each
)

// fleet runs Blackhawk's sandbox, whose tokens live 600 s, and a store in memory.
func fleet(processes, lifetimes int, withStore bool) Fleet {
	sb := sandbox.NewInProcess(sandbox.Config{TokenLifetime: rolloverLifetime})
	sb.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Delay: fleetEndpoint})
	requests := func() int { return sb.Ledger()[sandbox.Blackhawk].TokenRequests }

	f := Fleet{Processes: processes, Store: withStore}
	var store storetest.Memory
	var mu sync.Mutex
	var all sync.WaitGroup
	for process := range processes {
		cache := &tokensource.Cache{Source: &tokensource.Blackhawk{
			Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret),
			BaseURL:     sb.URL,
			HTTPClient:  sb.Client(),
		}}
		if withStore {
			cache.Store = store.Handle()
		}
		var last string
		all.Go(func() {
			load{
				workers:  fleetWorkers,
				period:   time.Second,
				duration: time.Duration(lifetimes) * rolloverLifetime,
			}.run(tokensourceCache{cache}, func(c call) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case c.due < time.Minute: // the first token, which all wait for
					f.AtStart = requests()
				case c.took > 0:
					f.Waited++
				}
				// One process's view says when a token took over.
				if process == 0 && last != "" && c.access != last {
					f.Rollovers++
				}
				last = c.access
			})
		})
	}
	all.Wait()
	f.Requests = requests() - f.AtStart
	f.PerRollover = float64(f.Requests) / float64(max(f.Rollovers, 1))
	return f
}
