//go:build unix

package demo

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
	"sync"
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

// 50 processes over two rollovers: one token request for each.
func TestFiftyProcesses(t *testing.T) {
	const lifetime = 5 * time.Second
	f := &fleet{
		size:  50,
		redis: startRedis(t),
		// Processes that run refresh at 0.6 lifetimes at the latest.
		scenario: &scenario{duration: lifetime * 3 / 2, Lifetime: lifetime, Workers: 2, Rate: 5, start: sandbox.New},
	}
	text := f.mustRun(t)
	if strings.Contains(text, " lost ") {
		t.Errorf("nothing was lost:\n%s", text)
	}
}

// Redis forgets everything, again and again, in mid-refresh too: no caller
// notices, and the verdict says why there were more token requests.
func TestFlushedRedis(t *testing.T) {
	t.Parallel()
	f := &fleet{
		size:     4,
		redis:    startRedis(t),
		scenario: &scenario{duration: 7500 * time.Millisecond, Lifetime: 5 * time.Second, Workers: 2, Rate: 5, start: sandbox.New},
	}
	options, err := redis.ParseURL(f.redis)
	must(t, err)
	admin := redis.NewClient(options)
	defer admin.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var flushing sync.WaitGroup
	defer flushing.Wait()
	defer cancel()
	flushing.Go(func() {
		for tick := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; {
			admin.FlushAll(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	// Where the refresh lock is held.
	f.asking = func(*process) { admin.FlushAll(ctx) }
	if text := f.mustRun(t); !strings.Contains(text, " as the store had lost the token or its lock") && !strings.Contains(text, " whose token the store did not take") {
		t.Errorf("it does not say that something was lost:\n%s", text)
	}
}

// mustRun runs the fleet. What the machine is to blame for is logged.
func (f *fleet) mustRun(t *testing.T) (text string) {
	t.Helper()
	text, broken, err := f.run(t.Context(), newProgress(t.Output()))
	must(t, err)
	t.Log(text)
	if len(broken) > 0 {
		t.Errorf("broken: %q", broken)
	}
	return text
}
