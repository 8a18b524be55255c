//go:build unix

package filestore_test

// What other processes see, and what remains of those that are killed. The test
// binary plays them itself.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"golang.org/x/oauth2"
)

const roleVar = "FILESTORE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleVar)]; ok {
		if err := role(ownStore()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ownStore is the store that a process is told of.
func ownStore() *filestore.Store { return &filestore.Store{Dir: os.Args[len(os.Args)-1]} }

var roles = map[string]func(*filestore.Store) error{
	"a member": member,
	"hold the lock": func(s *filestore.Store) error {
		_, _, err := s.TryLock(context.Background(), key)
		if err == nil {
			fmt.Println("held")
			select {}
		}
		return err
	},
	"save for ever": func(s *filestore.Store) error {
		for i := 0; ; i++ {
			if err := s.Save(context.Background(), key, bytes.Repeat([]byte{byte('a' + i%26)}, 1<<16), time.Hour); err != nil {
				return err
			}
			if i == 0 {
				fmt.Println("saved")
			}
		}
	},
	"print a token": func(s *filestore.Store) error {
		cache := newCache(s, countRequests(filepath.Dir(s.Dir)))
		defer cache.Close() // which waits until the token is saved
		tok, err := cache.Token()
		if err == nil {
			fmt.Println(tok.AccessToken)
		}
		return err
	},
}

type source func() (*oauth2.Token, error)

func (s source) Token() (*oauth2.Token, error) { return s() }

// countRequests is a provider that counts its token requests in files.
func countRequests(dir string) source {
	return func() (*oauth2.Token, error) {
		f, err := os.CreateTemp(dir, "request-")
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: "secret-" + filepath.Base(f.Name()), Expiry: time.Now().Add(time.Hour)}, f.Close()
	}
}

func newCache(s *filestore.Store, src source) *tokensource.Cache {
	return &tokensource.Cache{Source: src, Store: s, StoreKey: []byte("secret-credentials"), Synchronous: true}
}

// process is a process in a role. If TestMain knows none of that name, it runs
// the test that started it.
type process struct {
	*exec.Cmd
	in  io.Closer // it waits for its end, if its role says so
	out *bufio.Reader
}

func start(t *testing.T, role string, s *filestore.Store, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	p := &process{Cmd: exec.Command(self, "-test.run=^"+t.Name()+"$", s.Dir)}
	p.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	must(t, err)
	p.out = bufio.NewReader(out)
	p.in, err = p.StdinPipe()
	must(t, err)
	must(t, p.Start())
	t.Cleanup(p.kill)
	return p
}

// said waits for the next line that the process prints.
func (p *process) said(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

// kill is kill -9.
func (p *process) kill() {
	p.Process.Kill()
	p.Wait()
}

func TestKilledHolder(t *testing.T) {
	s := newStore(t)
	holder := start(t, "hold the lock", s)
	if line := holder.said(t); line != "held" {
		t.Fatal(line)
	}
	if _, _, err := s.TryLock(t.Context(), key); err != tokensource.ErrLocked {
		t.Fatalf("TryLock beside another process = %v, want ErrLocked", err)
	}
	holder.kill()
	_, unlock, err := s.TryLock(t.Context(), key)
	if err != nil {
		t.Fatalf("TryLock after the holder died: %v", err)
	}
	unlock()
}

func TestKilledWriter(t *testing.T) {
	s := newStore(t)
	for range 20 {
		writer := start(t, "save for ever", s)
		if line := writer.said(t); line != "saved" {
			t.Fatal(line)
		}
		for range 20 {
			wantWhole(t, s)
		}
		writer.kill()
		wantWhole(t, s)
		save(t, s, "next", time.Hour)
		wantValue(t, s, "next")
	}
	// The last Save swept away what they had not finished.
	if left, err := filepath.Glob(s.Dir + "/*.tmp"); err != nil || len(left) > 0 {
		t.Errorf("killed writers left %q, %v", left, err)
	}
}

func wantWhole(t *testing.T, s *filestore.Store) {
	t.Helper()
	got, _, err := s.Load(t.Context(), key)
	if err != nil || len(got) != 1<<16 || bytes.Count(got, got[:1]) != len(got) {
		t.Fatalf("Load beside a writer = %d bytes, %v", len(got), err)
	}
}

func TestManyProcessesOneRequest(t *testing.T) {
	s := newStore(t)
	var processes []*process
	for range 6 {
		processes = append(processes, start(t, "print a token", s))
	}
	first := processes[0].said(t)
	for _, p := range processes[1:] {
		if line := p.said(t); line != first {
			t.Errorf("one process has %s, another %s", first, line)
		}
	}
	requests, err := filepath.Glob(filepath.Dir(s.Dir) + "/request-*")
	must(t, err)
	if len(requests) != 1 || !strings.HasPrefix(first, "secret-request-") {
		t.Errorf("%d token requests for %s, want 1", len(requests), first)
	}

	must(t, filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := os.ReadFile(path)
		if bytes.Contains(file, []byte("secret-")) || strings.Contains(path, "secret-") {
			t.Errorf("%s shows a secret", path)
		}
		return err
	}))
}

// A store that is refused costs its use, not the token.
func TestCacheOverRefusedStore(t *testing.T) {
	for name, fault := range map[string]func(s *filestore.Store) error{
		"directory open to others": func(s *filestore.Store) error { return os.Chmod(s.Dir, 0o755) },
		"entry is a link": func(s *filestore.Store) error {
			path := files(t, s, "")
			os.Remove(path)
			return os.Symlink("/dev/zero", path)
		},
		"disk gone": func(s *filestore.Store) error {
			if err := os.RemoveAll(s.Dir); err != nil {
				return err
			}
			return os.WriteFile(s.Dir, nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			requests := countRequests(t.TempDir())
			first := newCache(s, requests)
			_, err := first.Token()
			must(t, err)
			must(t, first.Close()) // the token is saved
			must(t, fault(s))
			var reported error
			cache := newCache(s, requests)
			cache.OnEvent = func(_ context.Context, e tokensource.Event) {
				if e.Kind == tokensource.EventStoreFailed {
					reported = errors.Join(reported, e.Err)
				}
			}
			if tok, err := cache.Token(); err != nil || tok.AccessToken == "" {
				t.Errorf("Token = %v, %v", tok, err)
			}
			if reported == nil || !strings.Contains(reported.Error(), s.Dir) || strings.Contains(reported.Error(), "secret-") {
				t.Errorf("reported: %v; want the directory's name and no secret", reported)
			}
		})
	}
}
