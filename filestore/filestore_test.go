//go:build unix

package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/filestore"
	"github.com/tokensource-go/tokensource/storetest"
)

const key = "the-key-of-an-entry"

func TestStore(t *testing.T) {
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

func TestExpiredFileIsRemoved(t *testing.T) {
	s := newStore(t)
	save(t, s, "value", time.Hour)
	path := files(t, s, "")
	save(t, s, "value", -time.Second)
	wantNone(t, s)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of an expired entry is still there: %v", err)
	}
	// kubelogin#1146, and the race of removed lock files.
	files(t, s, ".change")
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
	if count != 4 { // the directory, the entry, its two locks
		t.Errorf("%d files, want 4", count)
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
