package filestore

// The file of an entry. Its checksum tells what was written in full from what
// was not, or was damaged since.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/tokensource-go/tokensource"
)

const (
	header     = "tokensource entry 1\n" // then the checksum of the rest, the expiry, the value
	expirySize = 8                       // Unix milliseconds, big-endian
)

type entry struct {
	value  []byte
	expiry time.Time
}

func (e entry) expired() bool { return !time.Now().Before(e.expiry) }

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

func read(path string) (entry, error) {
	var file []byte
	err := trusted(path, 0)
	if err == nil {
		file, err = os.ReadFile(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return entry{}, tokensource.ErrNotFound
	case err != nil:
		return entry{}, err
	}
	return decode(file)
}
