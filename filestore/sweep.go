package filestore

// What no process will use again. Credentials that are rotated, and processes
// that are killed, would otherwise fill the directory.

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/tokensource-go/tokensource"
)

// sweep removes expired and damaged entries, lapsed locks that are free, and
// files that a killed process did not finish. The caller has the change lock, so
// no process is about to finish one. What cannot be removed stays.
func (d *dir) sweep() {
	now, err := d.now()
	if err != nil {
		return
	}
	list, err := d.Open(".")
	if err != nil {
		return
	}
	defer list.Close()
	names, _ := list.Readdirnames(-1)
	for _, name := range names {
		base, suffix, _ := strings.Cut(name, ".")
		switch {
		case len(base) != hex.EncodedLen(sha256.Size): // not an entry's
		case suffix == "":
			e, err := d.read(name)
			if err == tokensource.ErrNotFound || err == nil && !now.Before(e.expiry) {
				_ = d.Remove(name)
			}
		case name == base+refreshSuffix:
			d.sweepLock(name)
		case strings.HasSuffix(name, tempSuffix):
			_ = d.Remove(name)
		}
	}
}

func (d *dir) sweepLock(name string) {
	l, err := d.openLock(name)
	if err != nil {
		return
	}
	defer l.unlock()
	if !l.lapsed() {
		return
	}
	if ok, err := l.TryLock(); err == nil && ok && l.there() {
		_ = d.Remove(name)
	}
}
