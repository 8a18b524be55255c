package filestore

// The locks. A lock's file may be removed while it is held, by the next holder
// of a lapsed lease or by a sweep, so each one who has locked a file looks
// whether it still is the one that lies there.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/tokensource-go/tokensource"
)

const (
	leaseTime = 3 * time.Second
	renewal   = time.Second

	refreshSuffix = ".lock" // after an entry's name
	tempSuffix    = ".tmp"
	changeLock    = ".change" // held by the process that changes the directory

	changePoll = 5 * time.Millisecond // for the change lock, which is held for one write
	touchAt    = 1                    // Windows locks the first byte
)

var errLost = errors.New("the lease of the refresh lock was lost")

// TryLock implements [tokensource.Store]. held ends as soon as a renewal finds
// that another process took over.
func (s *Store) TryLock(ctx context.Context, key string) (held context.Context, unlock func(), err error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, nil, wrap("lock", err)
	}
	l, err := d.tryLock(ctx, name(key)+refreshSuffix)
	if err != nil {
		d.Close()
		return nil, nil, wrap("lock", err)
	}
	held, end := context.WithCancelCause(ctx)
	unlock = sync.OnceFunc(func() {
		end(nil)
		l.unlock()
		d.Close()
	})
	context.AfterFunc(held, unlock)
	go func() {
		tick := time.NewTicker(renewal)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-held.Done():
				return
			}
			if _, err := touch(l.file); err != nil || !l.there() {
				end(errLost)
			}
		}
	}()
	return held, unlock, nil
}

// lock is a locked file: once more open, since flock does not show its own.
type lock struct {
	*flock.Flock
	dir  *dir
	name string
	file *os.File
}

// open opens a lock's file, which it makes if need be. The flock library opens
// by path, so it must not create: only an existing file can lie elsewhere.
func (d *dir) openLock(name string) (*lock, error) {
	f, err := d.openFile(name, os.O_RDWR|os.O_CREATE)
	return &lock{flock.New(d.path(name), flock.SetFlag(os.O_RDWR)), d, name, f}, err
}

func (l *lock) unlock() {
	_ = l.Unlock()
	_ = l.file.Close()
}

// there says whether the file, locked or not, is still the one of its name.
func (l *lock) there() bool {
	own, err1 := l.file.Stat()
	now, err2 := l.dir.Lstat(l.name)
	if err1 != nil || err2 != nil || !os.SameFile(own, now) {
		return false
	}
	locked, err := l.Stat()
	return err != nil || os.SameFile(own, locked) // an error if it is not locked
}

// lapsed says whether its holder, if any, has stopped to renew it.
func (l *lock) lapsed() bool {
	now, err1 := l.dir.now()
	info, err2 := l.file.Stat()
	return err1 == nil && err2 == nil && now.Sub(info.ModTime()) > leaseTime
}

// tryLock takes a refresh lock, or says ErrLocked.
func (d *dir) tryLock(ctx context.Context, name string) (*lock, error) {
	for {
		l, err := d.openLock(name)
		if err != nil {
			return nil, err
		}
		ok, err := l.TryLock()
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			l.unlock()
			return nil, err
		case !l.there():
		case !ok && !l.lapsed():
			l.unlock()
			return nil, tokensource.ErrLocked
		default:
			// One process at a time decides: a new holder renews first, and a
			// lapsed lock's file is removed.
			err = d.change(ctx, func() error {
				switch {
				case !l.there():
					ok = false
				case ok:
					_, err := touch(l.file)
					return err
				case l.lapsed():
					if d.Remove(name) != nil { // on Windows, as long as it is open
						return tokensource.ErrLocked
					}
				}
				return nil
			})
			if err == nil && ok {
				return l, nil
			}
			if err != nil {
				l.unlock()
				return nil, err
			}
		}
		l.unlock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// change runs do while no other process changes what lies in the directory.
func (d *dir) change(ctx context.Context, do func() error) error {
	l, err := d.openLock(changeLock)
	if err != nil {
		return err
	}
	defer l.unlock()
	if _, err := l.TryLockContext(ctx, changePoll); err != nil {
		return fmt.Errorf("another process changes the directory: %w", err)
	}
	if !l.there() {
		return fmt.Errorf("%s was emptied meanwhile", d.Name())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return do()
}
