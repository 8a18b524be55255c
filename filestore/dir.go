package filestore

// The directory. It is opened once per call, checked while it is open, and
// everything in it is reached from there: what is put in its place meanwhile is
// never looked at.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	dirMode  = 0o700
	fileMode = 0o600

	clockFile = ".clock"
)

var errNoDir = errors.New("set Dir: it is empty, and there is no default")

type dir struct{ *os.Root }

// open opens Dir, which it creates if need be.
func (s *Store) open(ctx context.Context) (*dir, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Dir == "" {
		return nil, errNoDir
	}
	path, err := filepath.Abs(s.Dir) // without a slash at the end, which would follow a link
	if err == nil {
		err = trustedWay(path)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path); err == nil {
			info, err = os.Lstat(path)
		}
	}
	if err == nil {
		err = trusted(path, info, fs.ModeDir)
	}
	var root *os.Root
	if err == nil {
		root, err = os.OpenRoot(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the field Dir: %w", err)
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(info, opened) {
		root.Close()
		return nil, errors.Join(fmt.Errorf("the field Dir: %s is refused: something else was put in its place meanwhile", path), err)
	}
	return &dir{root}, nil
}

// create creates a directory and what is missing above it. A umask may take
// away the owner's own access.
func create(path string) error {
	above := filepath.Dir(path)
	parent, err := os.OpenRoot(above)
	if errors.Is(err, fs.ErrNotExist) && above != path {
		if err = create(above); err == nil {
			parent, err = os.OpenRoot(above)
		}
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	switch err = parent.Mkdir(filepath.Base(path), dirMode); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return parent.Chmod(filepath.Base(path), dirMode)
}

// openFile opens a file that is this user's alone, or makes it.
func (d *dir) openFile(name string, flag int) (*os.File, error) {
	for {
		switch err := d.trusted(name); {
		case err == nil:
			return d.OpenFile(name, flag&^os.O_CREATE, 0)
		case flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		f, err := d.OpenFile(name, flag|os.O_EXCL, fileMode)
		if err == nil {
			return f, f.Chmod(fileMode) // whatever the umask
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

func (d *dir) trusted(name string) error {
	info, err := d.Lstat(name)
	if err != nil {
		return err
	}
	return trusted(d.path(name), info, 0)
}

func (d *dir) absentOrTrusted(name string) error {
	err := d.trusted(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *dir) path(name string) string { return filepath.Join(d.Name(), name) }

// trusted returns an error for what is not of this type or not the user's own.
func trusted(path string, info fs.FileInfo, want fs.FileMode) error {
	if got := info.Mode().Type(); got != want {
		return fmt.Errorf("%s is refused: it is %v, not %v, and links are not followed", path, got, want)
	}
	if err := private(info); err != nil {
		return fmt.Errorf("%s is refused: %w", path, err)
	}
	return nil
}

// now returns the file system's time: that of a write which it has just made.
func (d *dir) now() (time.Time, error) {
	f, err := d.openFile(clockFile, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	return touch(f)
}

// touch writes to a file and returns the time that it got.
func touch(f *os.File) (time.Time, error) {
	if _, err := f.WriteAt([]byte{0}, touchAt); err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
