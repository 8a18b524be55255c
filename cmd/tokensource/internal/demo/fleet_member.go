package demo

// What a process of the fleet does: workers that call Blink's API through the
// library, with a store that the other processes share.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/redisurl"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/sandbox"
)

const memberCommand = "fleet-process"

// NewMemberCommand returns the command that the fleet's processes run.
func NewMemberCommand() *cobra.Command {
	return &cobra.Command{
		Use:    memberCommand,
		Short:  "One process of tokensource demo --fleet, which starts it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Ctrl-C reaches the parent too, which decides.
			ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
			defer cancel()
			var o order
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&o); err != nil {
				return usagef("%s is for tokensource demo --fleet to start: no order on stdin: %w", memberCommand, err)
			}
			m, err := o.member(ctx, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			finish, end := context.WithCancel(ctx)
			go func() {
				io.Copy(io.Discard, cmd.InOrStdin())
				end()
				time.AfterFunc(patience, cancel)
			}()
			return m.run(ctx, finish)
		},
	}
}

// member records what happens to its lane in this process, as lane does.
type member struct {
	*lane
	out       *json.Encoder
	found     map[string]bool // what the last looks into the store found, by key
	storeDown bool            // since the last token request
	result    memberResult
}

// memberResult is what a process reports.
type memberResult struct {
	Requests, Failed int
	Waited           int // callers that found no valid token, after the first
	TokenRequests    []*tokenRequest
	HeldUp           time.Duration // by the machine
	Faults           []string      // that nothing in a fleet explains
}

// member makes one to the parent's order.
func (o *order) member(ctx context.Context, stdout io.Writer) (*member, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(o.CA) {
		return nil, errors.New("the order has no certificate")
	}
	store, err := openStore(ctx, o.Dir, o.Redis)
	l := &lane{scenario: o.Scenario, provider: sandbox.Blink, url: o.URL, api: o.API, cut: ctx}
	l.connect(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}})
	m := &member{lane: l, out: json.NewEncoder(stdout), found: map[string]bool{}}
	l.asking = m.onAsking
	l.useCache(&tokensource.Cache{Store: &watchedStore{store, m}, OnEvent: m.onEvent})
	return m, err
}

func (m *member) run(ctx, finish context.Context) error {
	m.request(ctx)
	r := &m.result
	m.note(func() {
		r.Waited = 0 // for the first token
		m.out.Encode(notice{Ready: true})
	})
	m.work(ctx, time.Now(), func(time.Time) bool { return finish.Err() == nil })
	m.close()
	r.Requests, r.Failed, r.TokenRequests, r.HeldUp = len(m.requests), m.failed, m.tokenRequests, m.heldUp
	for _, q := range m.requests {
		if !m.allowed(q) {
			r.Faults = append(r.Faults, "a request failed: "+q.status)
		}
	}
	m.out.Encode(notice{Result: r})
	return ctx.Err()
}

func (m *member) onAsking(t *tokenRequest) {
	m.note(func() {
		t.Missing = !slices.Contains(slices.Collect(maps.Values(m.found)), true)
		t.Unsaved, t.StoreDown, m.storeDown = true, m.storeDown, false
		m.out.Encode(notice{Asking: true}) // if the parent has gone, stdin ends
	})
}

func (m *member) onEvent(_ context.Context, e tokensource.Event) {
	m.note(func() {
		switch e.Kind {
		case tokensource.EventStoreFailed:
			m.storeDown = true
			m.saved(e.Err)
		case tokensource.EventFailed:
			m.result.Faults = append(m.result.Faults, "a refresh failed: "+e.Err.Error())
		case tokensource.EventWaited:
			m.result.Waited++
		}
	})
}

// saved notes whether the token that was got last has reached the store.
func (m *member) saved(err error) {
	if n := len(m.tokenRequests); n > 0 {
		t := m.tokenRequests[n-1]
		t.Unsaved, t.StoreDown = t.Unsaved && err != nil, t.StoreDown || err != nil
	}
}

// openStore opens the store that one run's processes share: files in a directory
// of its own, or a Redis server, which takes that directory's name for a prefix.
func openStore(ctx context.Context, dir, url string) (tokensource.Store, error) {
	if url == "" {
		return &filestore.Store{Dir: dir}, nil
	}
	client, err := redisurl.Open(url)
	if err != nil {
		return nil, usagef("--redis %w", err)
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("--redis: there is no working server: %w", err)
	}
	return &redisstore.Store{Client: client, Prefix: filepath.Base(dir)}, nil
}

// watchedStore notes what a process found in the store, and put there: by that
// the fleet's token requests are explained.
type watchedStore struct {
	tokensource.Store
	m *member
}

func (w *watchedStore) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, left, err := w.Store.Load(ctx, key)
	w.m.note(func() { w.m.found[key] = err == nil })
	return value, left, err
}

func (w *watchedStore) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := w.Store.Save(ctx, key, value, ttl)
	w.m.note(func() { w.m.saved(err) })
	return err
}
