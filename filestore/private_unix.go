//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const maxLinks = 40 // on the way to a file, as in the kernel

// private returns an error for what is not this user's alone.
func private(info fs.FileInfo) error {
	if uid := owner(info); uid != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, not to this process's user %d", uid, os.Geteuid())
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("others may access it (mode %v): make it 0700 if it is a directory, else 0600", perm)
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Geteuid()
}

// trustedWay returns an error if there is a symbolic link above path that others
// can lead elsewhere: it is theirs, or they can write a directory on the way.
func trustedWay(path string) error {
	linked := false
walk:
	for range maxLinks {
		var open error // the first directory on the way that others can write
		for _, at := range above(path) {
			info, err := os.Lstat(at)
			if errors.Is(err, fs.ErrNotExist) {
				break // it and all below it will be made
			}
			if err != nil {
				return err
			}
			theirs := owner(info) != 0 && owner(info) != os.Geteuid()
			if info.Mode().Type() == fs.ModeSymlink {
				if theirs {
					open = fmt.Errorf("%s is refused: the symbolic link %s on the way belongs to user %d", path, at, owner(info))
				}
				target, err := os.Readlink(at)
				if err = errors.Join(open, err); err != nil {
					return err
				}
				if !filepath.IsAbs(target) {
					target = filepath.Join(filepath.Dir(at), target)
				}
				path, linked = filepath.Join(target, strings.TrimPrefix(path, at)), true
				continue walk
			}
			if open == nil && (theirs || info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0) {
				open = fmt.Errorf("%s is refused: there is a symbolic link on the way, and others can write %s (mode %v)", path, at, info.Mode())
			}
		}
		if linked {
			return open
		}
		return nil
	}
	return fmt.Errorf("%s is refused: there are more than %d symbolic links on the way", path, maxLinks)
}

// above lists the directories that path lies in, the root first.
func above(path string) (dirs []string) {
	for at := filepath.Dir(path); ; at = filepath.Dir(at) {
		dirs = append(dirs, at)
		if at == filepath.Dir(at) {
			slices.Reverse(dirs)
			return dirs
		}
	}
}
