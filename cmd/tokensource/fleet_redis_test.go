//go:build unix

package main

// The fleet at its real size, in Redis.

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tokensource-go/tokensource/sandbox"
)

const redisStart = 20 * time.Second // how long a server may take

// startRedis returns the URL of a server that ends with the test: redis-server
// on PATH or what REDIS_SERVER names, else miniredis in this process. It says
// which. Where REQUIRE_REDIS is 1 it must be the real one.
func startRedis(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath(cmp.Or(os.Getenv("REDIS_SERVER"), "redis-server"))
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			t.Fatalf("install redis-server or set REDIS_SERVER: %v", err)
		}
		t.Logf("miniredis stands in for Redis: %v", err)
		mini := miniredis.RunT(t)
		mini.ClockTTL(true)
		return "redis://" + mini.Addr()
	}
	socket := filepath.Join(t.TempDir(), "redis")
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	var log bytes.Buffer
	server := exec.Command(binary, "--bind", "127.0.0.1", "--port", port, "--unixsocket", socket, "--save", "", "--appendonly", "no")
	server.Stdout, server.Stderr, server.Dir = &log, &log, filepath.Dir(socket)
	must(t, server.Start())
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	// By its own socket: on the port may be another.
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), redisStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for client.Ping(ctx).Err() != nil {
		if <-tick.C; ctx.Err() != nil {
			t.Fatalf("%s does not answer:\n%s", binary, &log)
		}
	}
	t.Logf("Redis is %s on %s", binary, addr)
	return "redis://" + addr
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// 50 processes over five rollovers: token requests = rollovers + 1, and no caller
// waits at a rollover after the first token.
func TestFiftyProcesses(t *testing.T) {
	if testing.Short() && os.Getenv("REQUIRE_REDIS") != "1" {
		t.Skip("takes 20 s; not with -short")
	}
	const lifetime = 5 * time.Second
	f := &fleet{
		Size:  50,
		Redis: startRedis(t),
		scenario: scenario{
			// Processes that run refresh at 0.6 lifetimes at the latest.
			Duration: 5*lifetime*6/10 + lifetime/10,
			Lifetime: lifetime, Workers: 2, Rate: 5, startSandbox: sandbox.New,
		},
	}
	r := f.mustRun(t)
	if r.Rollovers < 5 && r.Sum.LateWaited == 0 {
		t.Errorf("%d rollovers, want 5", r.Rollovers)
	}
	if r.TokenRequests != 1+r.Rollovers+r.Unshared {
		t.Errorf("%d token requests, want the first and one for each of %d rollovers", r.TokenRequests, r.Rollovers)
	}
	if got := len(r.Processes); got != 50 || r.Sum.Requests < 50*5*int(f.Duration.Seconds()) && r.Sum.LateWaited == 0 {
		t.Errorf("%d processes made %d requests", got, r.Sum.Requests)
	}
}

// mustRun runs the fleet. What the machine is to blame for is logged.
func (f *fleet) mustRun(t *testing.T) *fleetReport {
	t.Helper()
	r, err := f.run(t.Context(), newProgress(t.Output(), f.Duration))
	must(t, err)
	var table strings.Builder
	must(t, r.print(&table))
	t.Log(table.String())
	if len(r.Broken) > 0 || r.Sum.Failed > r.Sum.LateFailed || r.Sum.Waited > r.Sum.LateWaited {
		t.Errorf("broken: %q", r.Broken)
	}
	return r
}
