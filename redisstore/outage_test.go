//go:build unix

package redisstore_test

// Each way in which Redis does not work, as the Caches above it see that.

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tokensource-go/tokensource/redisstore"
	"github.com/tokensource-go/tokensource/redisstore/internal/redistest"
)

// outage is one way in which Redis does not work.
type outage struct {
	begin, end func(*redistest.Server, testing.TB)
	report     string
	real       bool // miniredis cannot play it
}

var outages = map[string]outage{
	"hanging":   {begin: (*redistest.Server).Pause, end: (*redistest.Server).Resume, report: "context deadline exceeded"},
	"killed":    {begin: func(s *redistest.Server, _ testing.TB) { s.Kill() }, end: (*redistest.Server).Restart, report: "context deadline exceeded"},
	"no memory": {begin: (*redistest.Server).Break, end: (*redistest.Server).Heal, report: "OOM command not allowed"},
	"read-only": {real: true,
		begin: do("", "replicaof", "127.0.0.1", "1"),
		end:   do("", "replicaof", "no", "one"), report: "READONLY"},
	"a password": {real: true,
		begin: func(s *redistest.Server, t testing.TB) {
			do("", "config", "set", "requirepass", "new")(s, t)
			do("new", "client", "kill", "type", "normal")(s, t)
		},
		end: do("new", "config", "set", "requirepass", ""), report: "NOAUTH"},
	"a script that does not end": {real: true,
		begin: func(s *redistest.Server, t testing.TB) {
			do("", "config", "set", "lua-time-limit", "1")(s, t)
			client := s.Client()
			go func() { // until it is killed
				defer client.Close()
				client.Do(context.Background(), "eval", "while true do end", "0")
			}()
			awaitBusy(s, t, true)
		},
		end: func(s *redistest.Server, t testing.TB) {
			do("", "script", "kill")(s, t)
			awaitBusy(s, t, false)
		}, report: "BUSY"},
}

// do sends a command with a password, if there is one.
func do(password string, command ...any) func(*redistest.Server, testing.TB) {
	return func(s *redistest.Server, t testing.TB) {
		t.Helper()
		client := redis.NewClient(&redis.Options{Addr: s.Addr, Password: password})
		defer client.Close()
		if err := client.Do(context.Background(), command...).Err(); err != nil {
			t.Fatalf("%v: %v", command, err)
		}
	}
}

// awaitBusy returns when a script keeps the server busy, or does not any more.
func awaitBusy(s *redistest.Server, t testing.TB, want bool) {
	t.Helper()
	client := s.Client()
	defer client.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		err := client.Get(context.Background(), "any").Err()
		if busy := err != nil && strings.HasPrefix(err.Error(), "BUSY"); busy == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("busy should be %v: %v", want, err)
		}
	}
}

func TestOutages(t *testing.T) {
	for name, c := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.real {
				real(t)
			}
			server, _, s := start(t)
			src := &provider{}
			lucky, unlucky := newProcess(t, src, s), newProcess(t, src, s)
			tok := lucky.wantToken(t, soon)
			c.begin(server, t)

			// Who has a token does not notice, nor who has none but the delay.
			if got := lucky.wantToken(t, atOnce); got.AccessToken != tok.AccessToken {
				t.Error("a valid token was replaced")
			}
			unlucky.wantToken(t, soon)
			lucky.Invalidate(tok)
			if got := lucky.wantToken(t, soon); got.AccessToken == tok.AccessToken {
				t.Error("a rejected token was handed out again")
			}
			if n := src.requests.Load(); n > 3 {
				t.Errorf("%d token requests, want no more than the first and one for each process", n)
			}
			lucky.wantReport(t, c.report)
			c.end(server, t)

			before := src.requests.Load()
			first := newProcess(t, src, s).wantToken(t, soon)
			for range 3 {
				p := newProcess(t, src, s)
				if got := p.wantToken(t, soon); got.AccessToken != first.AccessToken {
					t.Errorf("after the outage one process has %s, another %s", first.AccessToken, got.AccessToken)
				}
				p.wantReport(t, "")
			}
			if n := src.requests.Load() - before; n > 1 {
				t.Errorf("%d token requests after the outage, want no more than 1", n)
			}
		})
	}
}

// While Redis takes no writes each process refreshes for itself: not all of them
// at once, and no caller notices.
func TestRefreshesSpreadOverTheEarlyWindow(t *testing.T) {
	t.Parallel()
	real(t)
	const processes, lifetime = 8, 12 * time.Second
	server, _, _ := start(t)
	src := &provider{lifetime: lifetime}
	var all []*process
	for range processes {
		p := newProcess(t, src, &redisstore.Store{Client: newClient(t, &redis.UniversalOptions{Addrs: []string{server.Addr}})})
		p.EarlyRefresh = lifetime / 2
		all = append(all, p)
		p.wantToken(t, soon)
		p.waited.Store(0) // the first call does
	}
	if n := src.requests.Load(); n != 1 {
		t.Fatalf("%d token requests, want 1", n)
	}
	outages["read-only"].begin(server, t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var first time.Time
	for src.requests.Load() < 1+processes {
		<-tick.C
		if first.IsZero() && src.requests.Load() > 1 {
			first = time.Now()
		}
		for _, p := range all {
			p.wantToken(t, soon)
		}
	}
	if spread := time.Since(first); spread < time.Second {
		t.Errorf("%d processes refreshed within %v", processes, spread)
	}
	for _, p := range all {
		p.wantReport(t, "READONLY")
		if n := p.waited.Load(); n > 0 {
			t.Errorf("%d calls waited", n)
		}
	}
}
