package filestore

// The file of an entry. Its checksum tells what was written in full from what
// was not, or was damaged since.

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	header     = "tokensource entry 1\n" // then the checksum of the rest, the expiry, the value
	expirySize = 8                       // Unix milliseconds, big-endian
	maxValue   = 1 << 20                 // a token is a few KiB
	maxFile    = len(header) + sha256.Size + expirySize + maxValue
)

type entry struct {
	value  []byte
	expiry time.Time // by the file system's clock
}

func (e entry) encode() []byte {
	body := append(binary.BigEndian.AppendUint64(nil, uint64(e.expiry.UnixMilli())), e.value...)
	sum := sha256.Sum256(body)
	return bytes.Join([][]byte{[]byte(header), sum[:], body}, nil)
}

// decode returns ErrNotFound for whatever encode did not write.
func decode(file []byte) (entry, error) {
	rest, ok := bytes.CutPrefix(file, []byte(header))
	if !ok || len(rest) < sha256.Size+expirySize {
		return entry{}, tokensource.ErrNotFound
	}
	sum, body := rest[:sha256.Size], rest[sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return entry{}, tokensource.ErrNotFound
	}
	return entry{body[expirySize:], time.UnixMilli(int64(binary.BigEndian.Uint64(body)))}, nil
}

func (d *dir) read(name string) (entry, error) {
	var file []byte
	f, err := d.openFile(name, os.O_RDONLY)
	if err == nil {
		defer f.Close()
		file, err = io.ReadAll(io.LimitReader(f, int64(maxFile)+1))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), len(file) > maxFile:
		return entry{}, tokensource.ErrNotFound
	case err != nil:
		return entry{}, err
	}
	return decode(file)
}

// write writes beside the file and renames, which is atomic. There is no fsync:
// what a power cut leaves of the file counts as absent.
func (d *dir) write(name string, value []byte, ttl time.Duration) (err error) {
	if err := d.absentOrTrusted(name); err != nil {
		return err
	}
	temp := name + "." + rand.Text() + tempSuffix
	f, err := d.openFile(temp, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.Remove(temp)
		}
	}()
	info, err := f.Stat() // the file is new: this is the file system's time
	if err == nil {
		_, err = f.Write(entry{value, info.ModTime().Add(ttl)}.encode())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.Rename(temp, name)
}
