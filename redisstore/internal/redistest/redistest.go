//go:build unix

// Package redistest runs Redis servers for tests: processes of our own on free
// ports of the loopback interface, which a test may stop, kill and restart.
//
// The binary is redis-server on PATH, or whatever the environment variable
// REDIS_SERVER names (valkey-server fits too). If there is none, miniredis
// takes its place, in this process; if REQUIRE_REDIS is 1, that fails the test.
package redistest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

const (
	startTimeout = 20 * time.Second
	tries        = 5 // a free port may be taken by the time the server wants it

	busOffset = 10000 // from a server's port to its cluster bus
)

// Server is one Redis server.
type Server struct {
	Addr string

	cmd  *exec.Cmd
	args []string
	died chan struct{}
	mini *miniredis.Miniredis // instead of cmd
}

// Binary returns the path of the real server, or "" where there is none.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("REDIS_SERVER"), "redis-server"))
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_REDIS") == "1" || os.Getenv("REDIS_SERVER") != "" {
		t.Fatalf("redistest: install redis-server or set REDIS_SERVER: %v", err)
	}
	return ""
}

// Start starts a server with more lines of configuration, if any, and says which
// it is. It ends with the test.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	binary := Binary(t)
	if binary == "" {
		t.Log("redistest: miniredis, since there is no redis-server")
		s := &Server{mini: miniredis.RunT(t)}
		s.mini.ClockTTL(true)
		s.Addr = s.mini.Addr()
		return s
	}
	var err error
	for range tries {
		port, dir := freePort(t), t.TempDir()
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", port), args: []string{binary, filepath.Join(dir, "redis.conf")}}
		lines := append([]string{"bind 127.0.0.1", "port " + port, "dir " + strconv.Quote(dir), `save ""`, "appendonly no"}, config...)
		if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "sentinel ") }) {
			s.args = append(s.args, "--sentinel")
		}
		if err = os.WriteFile(s.args[1], []byte(strings.Join(lines, "\n")), 0o600); err == nil {
			err = s.run()
		}
		if err == nil {
			t.Logf("redistest: %s on %s", binary, s.Addr)
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("redistest: %v", err)
	return nil
}

func (s *Server) run() error {
	log := &bytes.Buffer{}
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s.died = make(chan struct{})
	go func() { _ = s.cmd.Wait(); cancel(); close(s.died) }()

	client := s.Client()
	defer client.Close()
	err := eventually(ctx, func() error {
		info, err := client.Info(ctx, "server").Result()
		// Another process's server may answer on the port.
		if err == nil && !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid)) {
			err = fmt.Errorf("another process serves %s", s.Addr)
		}
		return err
	})
	if err != nil {
		s.Kill()
		return fmt.Errorf("%v: %w\n%s", s.args, err, log)
	}
	return nil
}

// Client returns a client, which is the caller's to close.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true})
}

// Real tells redis-server from miniredis.
func (s *Server) Real() bool { return s.mini == nil }

// Kill is kill -9.
func (s *Server) Kill() {
	if !s.Real() {
		s.mini.Close()
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.died
}

// Restart starts a killed server again on the same port, empty.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	var err error
	if s.Real() {
		err = s.run()
	} else {
		s.mini.FlushAll()
		err = s.mini.Restart()
	}
	if err != nil {
		t.Fatalf("redistest: restart: %v", err)
	}
}

// Pause makes the server hang, with its connections open, until Resume.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume ends Pause: what was sent meanwhile is carried out.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	switch {
	case !s.Real() && sig == syscall.SIGSTOP:
		s.mini.Lock()
	case !s.Real():
		s.mini.Unlock()
	default:
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatalf("redistest: %v", err)
		}
	}
}

// Break makes commands that write fail with an error of the server, until Heal.
func (s *Server) Break(t testing.TB) { s.limitMemory(t, "1") }

// Heal ends Break.
func (s *Server) Heal(t testing.TB) { s.limitMemory(t, "0") }

func (s *Server) limitMemory(t testing.TB, limit string) {
	t.Helper()
	if !s.Real() {
		s.mini.SetError(map[string]string{"1": "OOM command not allowed when used memory > 'maxmemory'.", "0": ""}[limit])
		return
	}
	client := s.Client()
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
		t.Fatalf("redistest: %v", err)
	}
}

func eventually(ctx context.Context, try func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// freePort returns a port whose cluster bus port is free as well.
func freePort(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port+busOffset > 1<<16-1 {
			continue
		}
		bus, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+busOffset)))
		if err == nil {
			bus.Close()
			return strconv.Itoa(port)
		}
	}
}
