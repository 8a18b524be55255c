//go:build unix

package filestore_test

// Fleets of real processes that share a directory, and a Blink that counts what
// they ask it for.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/sandbox"
)

const orderVar = "FILESTORE_TEST_ORDER"

// order is what a member of a fleet is told.
type order struct {
	URL, API, Secret string
	FetchTimeout     time.Duration
	For              time.Duration // it goes on asking
	Skew             time.Duration // its clock is ahead by this
}

func readOrder(s *filestore.Store) (o order, c *tokensource.Cache, err error) {
	err = json.Unmarshal([]byte(os.Getenv(orderVar)), &o)
	return o, &tokensource.Cache{
		Source:       &tokensource.Blink{BaseURL: o.URL, Credentials: tokensource.StaticCredentials(sandbox.ID, o.Secret)},
		Store:        s,
		FetchTimeout: o.FetchTimeout,
	}, err
}

// member asks for a token when its stdin ends, and prints what it gets.
func member(s *filestore.Store) error {
	o, cache, err := readOrder(s)
	if err != nil {
		return err
	}
	defer cache.Close()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		tok, err := cache.Token()
		if time.Since(began) < o.For {
			continue
		}
		switch {
		case errors.Is(err, tokensource.ErrCredentials):
			fmt.Println("bad credentials")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(tok.AccessToken)
		}
		return nil
	}
}

// fleet is a sandbox on the network, a directory, and processes.
type fleet struct {
	*sandbox.Sandbox
	store   *filestore.Store
	order   order
	env     []string
	members []*process
}

func newFleet(t *testing.T, c sandbox.Config) *fleet {
	f := &fleet{Sandbox: sandbox.New(c), store: newStore(t)}
	t.Cleanup(f.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, f.CertificatePEM(), 0o600))
	f.env = []string{"SSL_CERT_FILE=" + ca}
	f.order = order{URL: f.URL, API: f.APIURL(sandbox.Blink), Secret: sandbox.Secret}
	return f
}

// join starts processes, which are ready when it returns.
func (f *fleet) join(t *testing.T, role string, n int) []*process {
	t.Helper()
	text, err := json.Marshal(f.order)
	must(t, err)
	var joined []*process
	for range n {
		joined = append(joined, start(t, role, f.store, append(f.env, orderVar+"="+string(text))...))
	}
	for _, p := range joined {
		if line := p.said(t); line != "ready" {
			t.Fatal(line)
		}
	}
	f.members = append(f.members, joined...)
	return joined
}

// begin has processes ask, all at once.
func begin(processes ...*process) {
	for _, p := range processes {
		p.in.Close()
	}
}

func (f *fleet) requests() int { return f.Ledger()[sandbox.Blink].TokenRequests }

// wantSame fails the test unless all that processes say is one and the same.
func wantSame(t *testing.T, processes []*process) string {
	t.Helper()
	first := processes[0].said(t)
	for _, p := range processes[1:] {
		if line := p.said(t); line != first {
			t.Fatalf("one process has %s, another %s", first, line)
		}
	}
	return first
}

func wantToken(t *testing.T, line string) {
	t.Helper()
	if line == "" || strings.Contains(line, " ") { // an error has several words
		t.Fatalf("no token, but: %s", line)
	}
}

func TestSlowProvider(t *testing.T) {
	t.Parallel()
	f := newFleet(t, sandbox.Config{})
	f.order.FetchTimeout = 10 * time.Second
	f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 6 * time.Second})
	all := f.join(t, "a member", 30)
	begin(all...)
	wantToken(t, wantSame(t, all))
	if n := f.requests(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// SIGSTOP hits a process in the middle of its token request.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, sandbox.Config{})
	f.Script(sandbox.Blink, sandbox.Token, sandbox.Fault{Delay: 2 * time.Second})
	holder := f.join(t, "a member", 1)[0]
	others := f.join(t, "a member", 10)
	begin(holder)
	for tick := time.NewTicker(10 * time.Millisecond); f.requests() == 0; {
		<-tick.C
	}
	must(t, holder.Process.Signal(syscall.SIGSTOP))
	begin(others...)
	token := wantSame(t, others)
	wantToken(t, token)
	if n := f.requests(); n != 2 {
		t.Errorf("%d token requests, want that of the stopped process and one more", n)
	}

	// It wakes up, has its own token, and does no harm.
	must(t, holder.Process.Signal(syscall.SIGCONT))
	own := holder.said(t)
	if wantToken(t, own); own == token {
		t.Error("the stopped process did not get the token that it had asked for")
	}
	must(t, holder.Wait())
	late := f.join(t, "a member", 1)
	begin(late...)
	if line := wantSame(t, late); line != token {
		t.Errorf("a later process has %s, want the newer %s", line, token)
	}
}

func TestBadCredentials(t *testing.T) {
	t.Parallel()
	f := newFleet(t, sandbox.Config{})
	f.order.Secret = "wrong"
	all := f.join(t, "a member", 40)
	began := time.Now()
	begin(all...)
	if line := wantSame(t, all); line != "bad credentials" {
		t.Error(line)
	}
	// One process would ask again after a second or two.
	took := time.Since(began)
	if n := f.requests(); n > 1+int(took/time.Second) {
		t.Errorf("%d token requests in %v", n, took)
	}
	t.Logf("%d processes know after %v", len(all), took)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	f := newFleet(t, sandbox.Config{})
	f.order.For = 4 * time.Second
	f.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"120"}}})
	all := f.join(t, "a member", 20)
	begin(all...)
	for _, p := range all {
		if line := p.said(t); !strings.Contains(line, "429") || !strings.Contains(line, "retry after 1m5") {
			t.Errorf("a process says: %s", line)
		}
	}
	if n := f.requests(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// Processes whose clocks are wrong, as real ones see it: each lives in a bubble
// whose time begins elsewhere and passes with the real one.
func TestSkewedClocks(t *testing.T) {
	if os.Getenv(roleVar) == skewed {
		beSkewed(t)
		return
	}
	t.Parallel()
	const lifetime, lasts = 6 * time.Second, 16 * time.Second
	f := newFleet(t, sandbox.Config{TokenLifetime: lifetime})
	f.order.For = lasts
	for _, skew := range []time.Duration{0, 0, 0, 2 * time.Hour, 5 * time.Second, -2 * time.Hour} {
		f.order.Skew = skew
		f.join(t, skewed, 1)
	}
	begin(f.members...)
	for i, p := range f.members {
		var got served
		must(t, json.Unmarshal([]byte(p.said(t)), &got))
		t.Logf("process %d: %+v", i, got)
		if got.Accepted == 0 || got.Rejected > 0 || got.Failed != "" {
			t.Errorf("process %d: %+v", i, got)
		}
	}
	// A token is refreshed after 4.8 to 5 s.
	if n := f.requests(); n < 3 || n > 6 {
		t.Errorf("%d token requests in %v, want one for each token of %v", n, lasts, lifetime)
	}
}

// served is what a member did for its callers.
type served struct {
	Accepted, Rejected int
	HeldUp             int // calls that the machine held up, whose token may have expired on the way
	Failed             string
}

const skewed = "a member with a wrong clock"

// beSkewed calls the API in a bubble, every 100 ms.
func beSkewed(t *testing.T) {
	o, cache, err := readOrder(ownStore())
	must(t, err)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	start, world := time.Now(), newOutside()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(start.Add(o.Skew)))
		ctx, cancel := context.WithCancel(t.Context())
		var clock sync.WaitGroup
		clock.Go(func() { world.drive(ctx) })
		began := time.Now()
		cache.Source.(*tokensource.Blink).HTTPClient = &http.Client{Transport: world}
		client := &http.Client{Transport: &tokensource.Transport{Source: cache, Base: world, NoRetry: true}}
		var got served
		for time.Since(began) < o.For && got.Failed == "" {
			time.Sleep(100 * time.Millisecond)
			resp, err := client.Get(o.API)
			switch {
			case err != nil:
				got.Failed = err.Error()
			case resp.StatusCode == http.StatusOK:
				got.Accepted++
			case resp.Header.Get(slowHeader) != "":
				got.HeldUp++
			default:
				got.Rejected++
			}
		}
		cache.Close()
		cancel()
		clock.Wait()
		report, err := json.Marshal(got)
		must(t, err)
		fmt.Println(string(report))
	})
}

// outside is the world outside a bubble: its time, and the network, which a
// bubble's clock would wait for.
type outside struct {
	ticks chan time.Duration

	mu   sync.Mutex
	work chan func()
	done chan struct{}
}

const (
	slowHeader = "Held-Up"
	slow       = 200 * time.Millisecond // a third of what a token is good for after its callers stop to use it
)

func newOutside() *outside {
	w := &outside{ticks: make(chan time.Duration), work: make(chan func()), done: make(chan struct{})}
	go func() {
		for do := range w.work {
			do()
			w.done <- struct{}{}
		}
	}()
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		for last := time.Now(); ; {
			now := <-tick.C
			w.ticks <- now.Sub(last)
			last = now
		}
	}()
	return w
}

// drive has a bubble's time pass with the real one.
func (w *outside) drive(ctx context.Context) {
	for {
		select {
		case passed := <-w.ticks:
			time.Sleep(passed)
		case <-ctx.Done():
			return
		}
	}
}

func (w *outside) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.work <- func() {
		began := time.Now()
		// The context has channels of the bubble.
		if resp, err = http.DefaultTransport.RoundTrip(req.Clone(context.Background())); err != nil {
			return
		}
		var body []byte
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if time.Since(began) > slow {
			resp.Header.Set(slowHeader, "1")
		}
	}
	<-w.done
	if err == nil {
		resp.Request = req
	}
	return resp, err
}
