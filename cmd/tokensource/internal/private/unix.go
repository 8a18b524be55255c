//go:build unix

// Package private tells whether a file is this user's alone.
package private

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// File returns an error for a file that is not this user's alone.
func File(info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("others may access it (mode %v): make it 0600", perm)
	}
	return own(info)
}

// Dir returns an error for a directory in which others can replace a file.
func Dir(info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("others may write it (mode %v): choose one of your own", perm)
	}
	return own(info)
}

func own(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, not to this process's user %d", st.Uid, os.Geteuid())
	}
	return nil
}
