//go:build unix

package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/storetest"
)

const key = "the-key-of-an-entry"

func TestStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/tokens"
	storetest.Run(t, func(*testing.T) tokensource.Store { return &filestore.Store{Dir: dir} })
}

func newStore(t *testing.T) *filestore.Store {
	return &filestore.Store{Dir: filepath.Join(t.TempDir(), "not", "yet", "there")}
}

func save(t *testing.T, s *filestore.Store, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Save(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func wantValue(t *testing.T, s *filestore.Store, want string) {
	t.Helper()
	if got, _, err := s.Load(t.Context(), key); err != nil || string(got) != want {
		t.Fatalf("Load = %q, %v; want %q", got, err, want)
	}
}

func wantNone(t *testing.T, s *filestore.Store) {
	t.Helper()
	if got, _, err := s.Load(t.Context(), key); err != tokensource.ErrNotFound {
		t.Fatalf("Load = %q, %v; want ErrNotFound", got, err)
	}
}

// files returns what lies in a store that has one entry: its file, or the lock
// file that ends with suffix.
func files(t *testing.T, s *filestore.Store, suffix string) string {
	t.Helper()
	names, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range names {
		if filepath.Ext(f.Name()) == suffix {
			return filepath.Join(s.Dir, f.Name())
		}
	}
	t.Fatalf("no file %q among %v", suffix, names)
	return ""
}

// calls are the methods, as their errors name them.
func calls(ctx context.Context, s *filestore.Store) map[string]func() error {
	return map[string]func() error{
		"load":   func() error { _, _, err := s.Load(ctx, key); return err },
		"save":   func() error { return s.Save(ctx, key, []byte("new"), time.Hour) },
		"delete": func() error { return s.Delete(ctx, key, []byte("value")) },
		"lock": func() error {
			_, unlock, err := s.TryLock(ctx, key)
			if err == nil {
				unlock()
			}
			return err
		},
	}
}

func wantRefused(t *testing.T, s *filestore.Store, reason string, methods ...string) {
	t.Helper()
	for _, name := range methods {
		err := calls(t.Context(), s)[name]()
		if err == nil || !strings.HasPrefix(err.Error(), "filestore: "+name+": ") || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s = %v, want an error with %q", name, err, reason)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusedDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		dir    func(t *testing.T, own string) string
		reason string
	}{
		"not set":               {func(*testing.T, string) string { return "" }, "set Dir"},
		"readable by the group": {func(t *testing.T, own string) string { must(t, os.Chmod(own, 0o750)); return own }, "others may access it (mode -rwxr-x---)"},
		"open to the world":     {func(t *testing.T, own string) string { must(t, os.Chmod(own, 0o707)); return own }, "others may access it"},
		"a symbolic link":       {link, "it is L---------, not d---------"},
		"a link and a slash":    {func(t *testing.T, own string) string { return link(t, own) + "/" }, "links are not followed"},
		"a dangling link":       {func(t *testing.T, own string) string { must(t, os.Remove(own)); return link(t, own) }, "links are not followed"},
		"a file":                {func(t *testing.T, own string) string { must(t, os.WriteFile(own+"/f", nil, 0o600)); return own + "/f" }, "it is ----------, not d---------"},
		"below a file": {func(t *testing.T, own string) string {
			must(t, os.WriteFile(own+"/f", nil, 0o600))
			return own + "/f/d"
		}, "not a directory"},
		"of another user": {foreign, "it belongs to user"},
	} {
		t.Run(name, func(t *testing.T) {
			own := t.TempDir() + "/own"
			must(t, os.Mkdir(own, 0o700))
			wantRefused(t, &filestore.Store{Dir: c.dir(t, own)}, c.reason, "load", "save", "delete", "lock")
			if left, _ := os.ReadDir(own); len(left) > 1 {
				t.Errorf("something was put there: %v", left)
			}
		})
	}
}

func link(t *testing.T, target string) string {
	path := t.TempDir() + "/link"
	must(t, os.Symlink(target, path))
	return path
}

// foreign gives the directory away; only root can. Whoever is not root knows a
// directory of root's.
func foreign(t *testing.T, path string) string {
	if os.Geteuid() != 0 {
		return "/"
	}
	must(t, os.Chown(path, 12345, -1))
	return path
}

func TestRefusedFiles(t *testing.T) {
	elsewhere := t.TempDir() + "/precious"
	must(t, os.WriteFile(elsewhere, []byte("precious"), 0o600))

	faults := map[string]struct {
		do     func(path string) error
		reason string
	}{
		"symbolic link": {func(path string) error { os.Remove(path); return os.Symlink(elsewhere, path) }, "it is L---------"},
		"dangling link": {func(path string) error { os.Remove(path); return os.Symlink(elsewhere+"2", path) }, "it is L---------"},
		"directory":     {func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) }, "it is d---------"},
		"pipe":          {func(path string) error { os.Remove(path); return syscall.Mkfifo(path, 0o600) }, "it is p---------"},
		"group":         {func(path string) error { return os.Chmod(path, 0o640) }, "others may access it"},
		"world":         {func(path string) error { return os.Chmod(path, 0o604) }, "others may access it"},
	}
	if os.Geteuid() == 0 {
		faults["foreign"] = struct {
			do     func(path string) error
			reason string
		}{func(path string) error { return os.Chown(path, 12345, -1) }, "it belongs to user 12345, not to this process's user 0"}
	}
	for name, fault := range faults {
		for suffix, methods := range map[string][]string{
			"":        {"load", "save", "delete"},
			".lock":   {"lock"},
			".change": {"save", "delete"},
		} {
			t.Run(name+" in place of the entry"+suffix, func(t *testing.T) {
				s := newStore(t)
				save(t, s, "value", time.Hour)
				must(t, calls(t.Context(), s)["lock"]())
				must(t, fault.do(files(t, s, suffix)))
				wantRefused(t, s, fault.reason, methods...)
			})
		}
	}
	if got, err := os.ReadFile(elsewhere); err != nil || string(got) != "precious" {
		t.Errorf("a link's target was touched: %q, %v", got, err)
	}
	if _, err := os.Lstat(elsewhere + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link's target was created: %v", err)
	}
}

// An empty, torn or damaged file is an empty cache: as in setec, not an error.
func TestDamagedFilesCountAsAbsent(t *testing.T) {
	s := newStore(t)
	save(t, s, "value", time.Hour)
	path := files(t, s, "")
	whole, err := os.ReadFile(path)
	must(t, err)

	damaged := [][]byte{[]byte("garbage"), bytes.Repeat(whole, 2), append(bytes.Clone(whole), 0), make([]byte, len(whole))}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1
		damaged = append(damaged, whole[:i], flipped)
	}
	for _, file := range damaged {
		must(t, os.WriteFile(path, file, 0o600))
		wantNone(t, s)
		must(t, s.Delete(t.Context(), key, []byte("value")))
	}
	save(t, s, "next", time.Hour)
	wantValue(t, s, "next")
}

// Credentials are rotated and processes killed: what they leave does not pile up.
func TestSweep(t *testing.T) {
	s := newStore(t)
	for i := range 100 {
		rotated := fmt.Sprint(key, i)
		must(t, s.Save(t.Context(), rotated, []byte("value"), 50*time.Millisecond))
		_, unlock, err := s.TryLock(t.Context(), rotated)
		must(t, err)
		unlock()
	}
	held, unlock, err := s.TryLock(t.Context(), "held")
	must(t, err)
	defer unlock()
	save(t, s, "value", time.Hour)
	must(t, os.WriteFile(files(t, s, "")+".KILLED.tmp", []byte("half of an ent"), 0o600))
	must(t, os.WriteFile(filepath.Join(s.Dir, "another's.txt"), nil, 0o600))

	left := func() int {
		must(t, s.Save(t.Context(), key, []byte("next"), time.Hour))
		names, err := os.ReadDir(s.Dir)
		must(t, err)
		return len(names)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for range 60 {
		// the entry, the lock that is held, the change lock, the clock, the stranger's file
		if n = left(); n == 5 {
			break
		}
		<-tick.C
	}
	if n != 5 {
		t.Errorf("%d files are left, want 5", n)
	}
	if _, _, err := s.TryLock(t.Context(), "held"); err != tokensource.ErrLocked || held.Err() != nil {
		t.Errorf("the sweep took a lock that is held: %v", err)
	}
	wantValue(t, s, "next")
}

// A lock file that is swept just when another process takes its lock must not
// give the lock to two.
func TestSweepBesideLockers(t *testing.T) {
	s := newStore(t)
	old := time.Unix(1e9, 0)
	for i := range 100 {
		save(t, s, "value", time.Hour)
		_, unlock, err := s.TryLock(t.Context(), key)
		must(t, err)
		unlock()
		must(t, os.Chtimes(files(t, s, ".lock"), old, old))
		var wg sync.WaitGroup
		var holders atomic.Int32
		wg.Go(func() { must(t, s.Save(t.Context(), fmt.Sprint(i), nil, time.Hour)) })
		for range 4 {
			wg.Go(func() {
				if _, _, err := s.TryLock(t.Context(), key); err == nil {
					holders.Add(1)
				}
			})
		}
		wg.Wait()
		if n := holders.Load(); n != 1 {
			t.Fatalf("%d hold the lock, want 1", n)
		}
		must(t, os.RemoveAll(s.Dir))
	}
}

// A directory that is exchanged for a link between check and use.
func TestExchangedDirectory(t *testing.T) {
	s := newStore(t)
	save(t, s, "value", time.Hour)
	aside, elsewhere := s.Dir+".aside", t.TempDir()+"/elsewhere"
	must(t, os.Mkdir(elsewhere, 0o700))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			os.Rename(s.Dir, aside)
			os.Symlink(elsewhere, s.Dir)
			os.Remove(s.Dir)
			os.RemoveAll(s.Dir)
			os.Rename(aside, s.Dir)
		}
	})
	for range 300 {
		for _, call := range calls(t.Context(), s) {
			_ = call()
		}
	}
	close(done)
	wg.Wait()
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("something was put behind the link: %v, %v", left, err)
	}
}

func TestLinksThatOthersCanLeadElsewhere(t *testing.T) {
	base := t.TempDir()
	shared, own := base+"/shared", base+"/own"
	must(t, os.Mkdir(shared, 0o700))
	must(t, os.Mkdir(own, 0o700))
	must(t, os.Symlink(own, shared+"/link"))
	must(t, os.Symlink(shared, own+"/link"))
	for _, way := range []string{shared + "/link", own + "/link"} {
		s := &filestore.Store{Dir: way + "/not/yet/tokens"}
		must(t, os.Chmod(shared, 0o777))
		wantRefused(t, s, "others can write "+shared, "load", "save", "delete", "lock")
		must(t, os.Chmod(shared, 0o700))
		save(t, s, "value", time.Hour)
		wantValue(t, s, "value")
		must(t, os.Chmod(shared, 0o777))
		wantRefused(t, s, "others can write "+shared, "load", "save", "delete", "lock")
		must(t, os.Chmod(shared, 0o777|fs.ModeSticky))
		wantValue(t, s, "value")
	}
}

func TestUmaskThatTakesTheOwnersAccess(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o777))
	s := newStore(t)
	save(t, s, "value", time.Hour)
	must(t, calls(t.Context(), s)["lock"]())
	wantValue(t, s, "value")
	must(t, filepath.WalkDir(filepath.Dir(s.Dir), func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func TestLargeEntry(t *testing.T) {
	s := newStore(t)
	save(t, s, strings.Repeat("a", 1<<20), time.Hour)
	path := files(t, s, "")
	if err := s.Save(t.Context(), key, make([]byte, 1<<20+1), time.Hour); err == nil || !strings.Contains(err.Error(), "1048577 bytes") {
		t.Errorf("Save = %v", err)
	}
	must(t, os.Truncate(path, 1<<40)) // a sparse file
	wantNone(t, s)
	save(t, s, "next", time.Hour)
	wantValue(t, s, "next")
}

// A process whose clock is 26 years slow, as it is in a bubble.
func TestNoProcessesClockCounts(t *testing.T) {
	s := newStore(t)
	wantLeft := func(t *testing.T) {
		t.Helper()
		if _, left, err := s.Load(t.Context(), key); err != nil || left > time.Hour || left < 59*time.Minute {
			t.Errorf("Load: %v left, %v; want an hour", left, err)
		}
	}
	synctest.Test(t, func(t *testing.T) { save(t, s, "by the slow one", time.Hour); wantLeft(t) })
	wantLeft(t)
	save(t, s, "by the right one", time.Hour)
	synctest.Test(t, func(t *testing.T) { wantLeft(t) })
}

func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	untouched := time.Unix(1e9, 0)
	must(t, os.Chtimes(tmp, untouched, untouched))
	s := newStore(t)
	save(t, s, "value", time.Hour)
	save(t, s, "again", time.Hour)
	must(t, calls(t.Context(), s)["lock"]())
	count := 0
	must(t, filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		must(t, err)
		if want := map[bool]fs.FileMode{true: fs.ModeDir | 0o700, false: 0o600}[d.IsDir()]; info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		count++
		return nil
	}))
	if count != 5 { // the directory, the entry, its lock, the change lock, the clock
		t.Errorf("%d files, want 5", count)
	}
	if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(untouched) {
		t.Errorf("something passed through TMPDIR: %v", err)
	}
}

// Who is stopped while changing an entry keeps nobody longer than their context,
// and no reader at all.
func TestStoppedWriter(t *testing.T) {
	s := newStore(t)
	save(t, s, "value", time.Hour)
	stopped := flock.New(files(t, s, ".change"))
	must(t, stopped.Lock())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	for _, name := range []string{"save", "delete"} {
		if err := calls(ctx, s)[name](); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s = %v, want the context's error", name, err)
		}
	}
	wantValue(t, s, "value")
	must(t, stopped.Unlock())
	save(t, s, "next", time.Hour)
	wantValue(t, s, "next")
}

func TestDirectoryEmptiedMeanwhile(t *testing.T) {
	s := newStore(t)
	save(t, s, "value", time.Hour)
	must(t, os.RemoveAll(s.Dir))
	wantNone(t, s)
	save(t, s, "value", time.Hour)
	wantValue(t, s, "value")
}
