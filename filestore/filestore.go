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
// Each Save also removes what no process will use again: expired entries, unused
// lock files, and what a process left that was killed while saving. The
// directory may be emptied at any time, at the price of a token request.
//
// # The lease
//
// The refresh lock is flock(2), which the kernel releases when its holder dies.
// A holder that is stopped (SIGSTOP, a suspended container) keeps that lock, so
// there is a lease of 3 s besides: the holder writes to its lock file each
// second, and a file that was not written to for 3 s is removed and made anew by
// the next one.
//
// # Clocks
//
// No process's clock counts: an entry's expiry and the time it is still to live
// are both by the times that the file system gives to files it writes. On a
// local disk that is the machine's clock; on a network file system the server's.
//
// # Where it works
//
// On a local file system: network file systems differ in how far their locks
// and renames are to be trusted. On Unix the directory and the files are refused
// if another user owns or may access them, and so is a directory behind a
// symbolic link that another user could lead elsewhere. On Windows neither owner
// nor access list is looked at, so choose a directory below os.UserCacheDir,
// which is the user's own; and an open lock file cannot be removed there, so
// that the lock of a stopped process stays until it goes on or ends. Where there
// are no file locks, as in js/wasm, all but Load is an error.
package filestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/tokensource-go/tokensource"
)

// Store is a [tokensource.Store]. It is safe for concurrent use.
type Store struct {
	// Dir is required. It is created with mode 0700 if it does not exist, and
	// refused if it is a symbolic link, belongs to another user or can be
	// accessed by one.
	Dir string
}

var _ tokensource.Store = (*Store)(nil)

// Load implements [tokensource.Store]. A damaged file and one of more than 1 MiB
// count as absent; one that is a symbolic link, belongs to another user or can
// be accessed by one is an error, here as in the other methods.
func (s *Store) Load(ctx context.Context, key string) (value []byte, left time.Duration, err error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, 0, wrap("load", err)
	}
	defer d.Close()
	e, err := d.read(name(key))
	if err != nil {
		return nil, 0, wrap("load", err)
	}
	now, err := d.now()
	switch left = e.expiry.Sub(now); {
	case err != nil:
		return nil, 0, wrap("load", err)
	case left <= 0:
		return nil, 0, tokensource.ErrNotFound
	}
	return e.value, left, nil
}

// Save implements [tokensource.Store]. A value of more than 1 MiB is an error.
func (s *Store) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > maxValue {
		return wrap("save", fmt.Errorf("the value has %d bytes, more than %d", len(value), maxValue))
	}
	return wrap("save", s.change(ctx, func(d *dir) error {
		err := d.write(name(key), value, ttl)
		if err == nil {
			d.sweep()
		}
		return err
	}))
}

// Delete implements [tokensource.Store].
func (s *Store) Delete(ctx context.Context, key string, value []byte) error {
	return wrap("delete", s.change(ctx, func(d *dir) error {
		e, err := d.read(name(key))
		switch {
		case err == tokensource.ErrNotFound:
			return nil
		case err != nil || !bytes.Equal(e.value, value):
			return err
		}
		return d.Remove(name(key))
	}))
}

// change runs do while no other process changes an entry.
func (s *Store) change(ctx context.Context, do func(*dir) error) error {
	d, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.change(ctx, func() error { return do(d) })
}

// name of an entry's file. Hashed, the key is safe and of bounded length on any
// file system.
func name(key string) string {
	hash := sha256.Sum256([]byte(key))
	return hex.EncodeToString(hash[:])
}

func wrap(what string, err error) error {
	if err == nil || errors.Is(err, tokensource.ErrNotFound) || errors.Is(err, tokensource.ErrLocked) {
		return err
	}
	return fmt.Errorf("filestore: %s: %w", what, err)
}
