package main

// The file that --watch keeps, and whose it must be: what another user could
// read or replace is refused.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/private"
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
	// A link on the way could be made to lead elsewhere later.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, usagef("--file: %w", withoutPath(err))
	}
	path = filepath.Join(dir, filepath.Base(path))
	info, err := os.Lstat(dir)
	if err == nil {
		err = private.Dir(info)
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
		if err := private.File(info); err != nil {
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

// put replaces the file by one that is written beside it, always under the same
// name: what a killed process leaves there is replaced too.
func (f *tokenFile) put(content []byte) error {
	beside := f.beside()
	err := os.Remove(beside) // its mode may be another
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(beside, content, 0o600)
	}
	if err == nil {
		err = os.Rename(beside, f.path)
	}
	if err != nil {
		return &fileError{usagef("--file: it cannot be written: %w", withoutPath(err))}
	}
	return nil
}

func (f *tokenFile) beside() string { return f.path + ".new" }

func (f *tokenFile) there() bool {
	_, err := os.Lstat(f.path)
	return err == nil
}

func (f *tokenFile) remove() error {
	for _, path := range []string{f.path, f.beside()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fileError{usagef("--file: it cannot be removed: %w", withoutPath(err))}
		}
	}
	return nil
}

// close removes the file and lets another process keep it. The lock's file
// stays: a process that waits for it would else lock one that is gone.
func (f *tokenFile) close() error { return errors.Join(f.remove(), f.lock.Close()) }
