//go:build unix

package filestore

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// private returns an error for what is not this user's alone.
func private(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, not to this process's user %d", st.Uid, os.Geteuid())
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("others may access it (mode %v): make it 0700 if it is a directory, else 0600", perm)
	}
	return nil
}

// replace writes beside the file, not below TMPDIR, so that the rename is atomic
// and nothing lies elsewhere meanwhile.
func replace(path string, data []byte) error {
	f, err := renameio.TempFile(filepath.Dir(path), path) // mode 0600
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
