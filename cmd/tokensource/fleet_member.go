package main

// What a process of the fleet does: workers that call Blink's API through the
// library, with a store that the other processes share.

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

const (
	memberCommand = "fleet-process"

	settleTime = 5 * time.Second // for the refresh that is under way at the end
)

func newMemberCommand() *cobra.Command {
	return &cobra.Command{
		Use:    memberCommand,
		Short:  "One process of tokensource demo --fleet, which starts it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Ctrl-C reaches the parent too, which decides.
			return runMember(context.WithoutCancel(cmd.Context()), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func runMember(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var o order
	if err := json.NewDecoder(stdin).Decode(&o); err != nil {
		return usagef("%s is for tokensource demo --fleet to start: no order on stdin: %w", memberCommand, err)
	}
	m, err := newMember(&o, stdout)
	if err != nil {
		return err
	}
	defer m.lane.contender.close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finish := make(chan struct{})
	go func() {
		io.Copy(io.Discard, stdin)
		close(finish)
		time.AfterFunc(o.Scenario.patience(), cancel)
	}()
	return m.run(ctx, finish)
}

// member records what happens to its lane in this process.
type member struct {
	lane    *lane
	cache   *tokensource.Cache
	maxHeld time.Duration // the lock of a refresh that takes longer may be lost

	mu         sync.Mutex // guards what follows
	out        *json.Encoder
	waits      []span         // callers that found no valid token looked within it
	asked      time.Time      // of the token request under way, zero while there is none
	storeFault bool           // in the refresh under way
	shared     []*sharedToken // asked for by this process
	unshared   int            // token requests whose token the others cannot have
	faults     []string       // that nothing in a fleet explains
}

// sharedToken has reached the store.
type sharedToken struct {
	Asked  time.Time `json:"asked"`
	Expiry time.Time `json:"expiry"`
}

func newMember(o *order, stdout io.Writer) (*member, error) {
	ca, err := x509.ParseCertificate(o.CA)
	if err != nil {
		return nil, err
	}
	store, closeStore, err := o.Store.open()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	c := &contender{name: libraryName, url: o.URL, closers: []func() error{closeStore}}
	c.connect(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, &o.Scenario)
	l := &lane{scenario: &o.Scenario, contender: c, provider: sandbox.Blink, url: o.API}
	m := &member{lane: l, cache: c.cache(l), maxHeld: cmp.Or(o.Store.Lease, defaultLease) / 2, out: json.NewEncoder(stdout)}
	m.cache.Store = store
	m.cache.OnEvent = m.onEvent
	l.asking = m.onAsking
	l.client = c.clientWith(m)
	return m, nil
}

func (m *member) run(ctx context.Context, finish <-chan struct{}) error {
	l := m.lane
	l.request(ctx)
	if first := l.requests[0]; first.failed() {
		return fmt.Errorf("the first request failed: %s", first.failure())
	}
	m.say(notice{Ready: true})

	goOn := func(time.Time) bool {
		select {
		case <-finish:
			return false
		default:
			return true
		}
	}
	start, interval := time.Now(), l.scenario.interval()
	var work sync.WaitGroup
	for i := range l.scenario.Workers {
		begin := start.Add(interval * time.Duration(i) / time.Duration(l.scenario.Workers))
		work.Go(func() { l.work(ctx, begin, interval, goOn) })
	}
	work.Wait()
	m.settle(ctx)
	m.cache.Close()
	m.say(notice{Result: m.result()})
	return ctx.Err()
}

// settle lets a refresh end that is under way: cut off, its token would be lost.
func (m *member) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for m.isAsking() && ctx.Err() == nil {
		<-tick.C
	}
}

func (m *member) isAsking() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.asked.IsZero()
}

func (m *member) say(words notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Encode(words) // where the parent has gone, stdin ends
}

// gone is the context of a caller that cannot wait.
var gone = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Token and TokenContext are the Cache's, with a record of who had to wait.
func (m *member) Token() (*oauth2.Token, error) { return m.TokenContext(context.Background()) }

func (m *member) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	// Who cannot wait gets a valid token all the same, or else an error. No
	// clock tells that: one that was held up by the machine looks the same as
	// one that waited.
	look := span{begin: time.Now()}
	if tok, err := m.cache.TokenContext(gone); err == nil {
		return tok, nil
	}
	look.end = time.Now()
	m.mu.Lock()
	m.waits = append(m.waits, look)
	m.mu.Unlock()
	return m.cache.TokenContext(ctx)
}

// Invalidate is the Cache's.
func (m *member) Invalidate(rejected *oauth2.Token) { m.cache.Invalidate(rejected) }

func (m *member) onAsking() {
	m.mu.Lock()
	m.asked = time.Now()
	m.mu.Unlock()
	m.say(notice{Asking: true})
}

func (m *member) onEvent(ctx context.Context, e tokensource.Event) {
	m.lane.onEvent(ctx, e)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e.Kind {
	case tokensource.EventStoreFailed:
		m.storeFault = true
		if !isTimeout(e.Err) {
			m.faults = append(m.faults, "the store failed: "+e.Err.Error())
		}
	case tokensource.EventFailed:
		m.faults = append(m.faults, "a refresh failed: "+e.Err.Error())
		m.asked, m.storeFault = time.Time{}, false
	case tokensource.EventLoaded:
		m.storeFault = false
	case tokensource.EventFetched:
		if m.storeFault || time.Since(m.asked) > m.maxHeld {
			m.unshared++
		} else {
			m.shared = append(m.shared, &sharedToken{m.asked, m.lane.current().expiry})
		}
		m.asked, m.storeFault = time.Time{}, false
	}
}
