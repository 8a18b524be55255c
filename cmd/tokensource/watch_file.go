package main

// The file that --watch keeps, and whose it must be: what another user could
// read or replace is refused.

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/natefinch/atomic"
)

type tokenFile struct {
	path string // absolute
	lock *flock.Flock
}

// fileError is a failure of the file, not of the token.
type fileError struct{ error }

func (e *fileError) Unwrap() error { return e.error }

func openTokenFile(path string) (*tokenFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, usagef("--file: %w", withoutPath(err))
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, usagef("--file: its directory cannot be made: %w", withoutPath(err))
	}
	info, err := os.Stat(dir)
	if err == nil {
		err = unchangeable(info)
	}
	if err != nil {
		return nil, usagef("--file: its directory is refused: %w", withoutPath(err))
	}
	switch info, err = os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, usagef("--file: %w", withoutPath(err))
	case !info.Mode().IsRegular():
		return nil, usagef("--file: there is something else than a file of that name")
	default:
		if err := private(info); err != nil {
			return nil, usagef("--file: the file that is there is refused: %w", err)
		}
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, usagef("--file: it cannot be locked: %w", withoutPath(err))
	case !locked:
		return nil, usagef("--file: another process keeps this file already: end that, or choose another file")
	}
	return &tokenFile{path: path, lock: lock}, nil
}

// put replaces the file. It is written beside and renamed; a new one has mode
// 0600.
func (f *tokenFile) put(content []byte) error {
	if err := atomic.WriteFile(f.path, bytes.NewReader(content)); err != nil {
		return &fileError{usagef("--file: %w", err)}
	}
	return nil
}

func (f *tokenFile) there() bool {
	_, err := os.Lstat(f.path)
	return err == nil
}

func (f *tokenFile) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fileError{usagef("--file: it cannot be removed: %w", withoutPath(err))}
	}
	return nil
}

// close removes the file and lets another process keep it. The lock's file
// stays: a process that waits for it would else lock one that is gone.
func (f *tokenFile) close() error { return errors.Join(f.remove(), f.lock.Close()) }
