// Package filestore shares tokens between the processes of one machine, in a
// directory of the user's own:
//
//	dir, err := os.UserCacheDir()
//	...
//	cache := &tokensource.Cache{
//		Source: blink,
//		Store:  &filestore.Store{Dir: filepath.Join(dir, "myprogram", "tokens")},
//	}
//
// What lies there is sealed by the Cache. Each entry is a file of mode 0600,
// replaced atomically, so that a reader never waits and never sees half of one.
// Beside it lie two lock files: one is the refresh lock, the other is held by
// whoever changes the entry. They are never removed: a process could then hold
// the lock of a removed file while another takes that of a new one of the same
// name. The directory as a whole may be emptied at any time, at the price of a
// token request; it may contain a temporary file of a process that was killed
// while saving, and sealed entries of credentials that are no longer in use.
//
// # The lease
//
// The refresh lock is flock(2). The kernel releases it when its holder dies, by
// whatever cause: that is the lease, and there is nothing to renew. A holder
// that lives but hangs keeps it until the context of its TryLock ends, which a
// Cache bounds by FetchTimeout; one that is stopped (SIGSTOP), until it goes on.
//
// # Where it works
//
// On a local file system: network file systems differ in how far their locks
// and renames are to be trusted. On Unix the directory and the files are refused
// where another user owns or may access them. On Windows neither owner nor
// access list is looked at, so choose a directory below os.UserCacheDir, which
// is the user's own; and an entry is not replaced atomically but overwritten, so
// that a reader may find it damaged, which counts as absent.
package filestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/tokensource-go/tokensource"
)

const (
	dirMode  = 0o700
	fileMode = 0o600

	// Added to the path of an entry.
	refreshLock = ".lock"
	changeLock  = ".change"

	changePoll = 5 * time.Millisecond // for the change lock, which is held for one write
)

var errNoDir = errors.New("there is no directory: set Dir")

// Store is a [tokensource.Store]. It is safe for concurrent use.
type Store struct {
	// Dir is required. It is created with mode 0700 where it does not exist, and
	// refused where it is a symbolic link, belongs to another user or can be
	// accessed by one.
	Dir string
}

var _ tokensource.Store = (*Store)(nil)

// Load implements [tokensource.Store]. A damaged file counts as absent; one that
// is a symbolic link, belongs to another user or can be accessed by one is an
// error, here as in the other methods.
func (s *Store) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	path, err := s.path(ctx, key)
	if err != nil {
		return nil, 0, wrap("load", err)
	}
	e, err := read(path)
	switch {
	case err != nil:
		return nil, 0, wrap("load", err)
	case e.expired():
		// It may have been replaced meanwhile, so look again under the lock.
		// Where this fails it stays, and stays expired.
		_ = remove(ctx, path, entry.expired)
		return nil, 0, tokensource.ErrNotFound
	}
	return e.value, time.Until(e.expiry), nil
}

// Save implements [tokensource.Store].
func (s *Store) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	path, err := s.path(ctx, key)
	if err == nil {
		err = change(ctx, path, func() error {
			if err := absentOrTrusted(path); err != nil {
				return err
			}
			return replace(path, entry{value, time.Now().Add(ttl)}.encode())
		})
	}
	return wrap("save", err)
}

// Delete implements [tokensource.Store].
func (s *Store) Delete(ctx context.Context, key string, value []byte) error {
	path, err := s.path(ctx, key)
	if err == nil {
		err = remove(ctx, path, func(e entry) bool { return bytes.Equal(e.value, value) })
	}
	return wrap("delete", err)
}

// TryLock implements [tokensource.Store].
func (s *Store) TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error) {
	var l *flock.Flock
	var ok bool
	path, err := s.path(ctx, key)
	if err == nil {
		l, err = lockFile(path + refreshLock)
	}
	if err == nil {
		ok, err = l.TryLock()
	}
	switch {
	case err != nil:
		return nil, nil, wrap("lock", err)
	case !ok:
		return nil, nil, tokensource.ErrLocked
	}
	held, end := context.WithCancel(ctx)
	unlock = sync.OnceFunc(func() {
		end()
		_ = l.Unlock()
	})
	context.AfterFunc(held, unlock)
	return held, unlock, nil
}

// path returns where an entry lies, in a directory that is there and trusted.
// Hashed, the key is a safe name of bounded length on any file system.
func (s *Store) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.Dir == "" {
		return "", errNoDir
	}
	dir := filepath.Clean(s.Dir) // a slash at the end would follow a link
	err := trusted(dir, fs.ModeDir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, dirMode); err == nil {
			err = trusted(dir, fs.ModeDir)
		}
	}
	hash := sha256.Sum256([]byte(key))
	return filepath.Join(dir, hex.EncodeToString(hash[:])), err
}

// trusted returns an error for what is not of this type or not the user's own.
func trusted(path string, want fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if got := info.Mode().Type(); got != want {
		return fmt.Errorf("%s is refused: it is %v, not %v, and links are not followed", path, got, want)
	}
	if err := private(info); err != nil {
		return fmt.Errorf("%s is refused: %w", path, err)
	}
	return nil
}

func absentOrTrusted(path string) error {
	err := trusted(path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lockFile returns a lock with a file description of its own, so that it also
// excludes others of this process.
func lockFile(path string) (*flock.Flock, error) {
	if err := absentOrTrusted(path); err != nil {
		return nil, err
	}
	return flock.New(path, flock.SetPermissions(fileMode)), nil
}

// change runs do while nobody else changes the entry.
func change(ctx context.Context, path string, do func() error) error {
	l, err := lockFile(path + changeLock)
	if err != nil {
		return err
	}
	if _, err := l.TryLockContext(ctx, changePoll); err != nil {
		return err
	}
	defer l.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return do()
}

// remove removes the entry if it matches.
func remove(ctx context.Context, path string, match func(entry) bool) error {
	return change(ctx, path, func() error {
		e, err := read(path)
		switch {
		case errors.Is(err, tokensource.ErrNotFound):
			return nil
		case err != nil || !match(e):
			return err
		}
		return os.Remove(path)
	})
}

func wrap(what string, err error) error {
	if err == nil || err == tokensource.ErrNotFound {
		return err
	}
	return fmt.Errorf("filestore: %s: %w", what, err)
}
