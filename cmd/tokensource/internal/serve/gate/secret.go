// Package gate decides who may ask: those who know the client secret, at a
// bounded rate of mistakes.
package gate

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/private"
)

const (
	// minSecret makes guessing hopeless, at whatever rate.
	minSecret = 16

	maxSecret = 1024

	// lookAgain is how soon a rotated secret counts.
	lookAgain = time.Second
)

// Secret is the client secret, as a file has it. It is kept as a hash.
type Secret struct {
	Path string
	made bool

	mu     sync.Mutex
	hash   [sha256.Size]byte
	looked time.Time
}

// ReadSecret takes the secret from a file, and looks again when it is used: a
// rotated one counts within a second.
func ReadSecret(path string) (*Secret, error) {
	s := &Secret{Path: path}
	hash, err := hashFile(path)
	if err != nil {
		return nil, fmt.Errorf("--client-secret-file: %w", err)
	}
	s.hash, s.looked = hash, time.Now()
	return s, nil
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// MakeSecret makes a new secret for a server at an address, in a file of mode
// 0600 in the user's runtime directory. Remove removes it.
func MakeSecret(address string) (*Secret, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return nil, fmt.Errorf("no directory for the client secret: set XDG_RUNTIME_DIR or --client-secret-file: %w", err)
		}
	}
	dir = filepath.Join(dir, "tokensource")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("no directory for the client secret: %w", err)
	}
	info, err := os.Lstat(dir)
	if err == nil {
		err = private.Dir(info)
	}
	if err != nil {
		return nil, fmt.Errorf("the directory for the client secret, %s, is refused: %w", dir, err)
	}
	secret := rand.Text()
	path := filepath.Join(dir, "serve-"+strings.Trim(notInNames.ReplaceAllString(address, "-"), "-")+".secret")
	if err := writePrivate(path, secret); err != nil {
		return nil, fmt.Errorf("writing the client secret: %w", err)
	}
	return &Secret{Path: path, made: true, hash: sha256.Sum256([]byte(secret))}, nil
}

// writePrivate replaces a file at once by one that only this user can read.
func writePrivate(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Remove removes the file of a secret that was made: it is of no use any more. A
// successor's, which was started while this server drained, stays.
func (s *Secret) Remove() {
	if hash, err := hashFile(s.Path); s.made && err == nil && hash == s.hash {
		os.Remove(s.Path)
	}
}

// Is compares in a time that tells nothing of the secret.
func (s *Secret) Is(candidate string) bool {
	hash, current := sha256.Sum256([]byte(candidate)), s.current()
	return subtle.ConstantTimeCompare(hash[:], current[:]) == 1
}

// current looks at the file once a second. One that cannot be read leaves the
// last secret in force.
func (s *Secret) current() [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !s.made && now.Sub(s.looked) >= lookAgain {
		s.looked = now
		if hash, err := hashFile(s.Path); err == nil {
			s.hash = hash
		}
	}
	return s.hash
}

func hashFile(path string) (hash [sha256.Size]byte, err error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // reading a pipe again would wait
		err = errors.New("not a regular file: it is read again, as the secret may be rotated")
	}
	var text []byte
	if err == nil && info.Size() <= maxSecret {
		text, err = os.ReadFile(path)
	}
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		err = pathError.Err // the path may be the secret itself
	}
	if err != nil {
		return hash, err
	}
	secret := strings.TrimRight(strings.TrimPrefix(string(text), "\ufeff"), "\r\n")
	switch {
	case info.Size() > maxSecret:
		return hash, fmt.Errorf("the file is longer than %d bytes", maxSecret)
	case len(secret) < minSecret:
		return hash, fmt.Errorf("the secret is shorter than %d bytes: openssl rand -hex 32 makes one", minSecret)
	}
	return sha256.Sum256([]byte(secret)), nil
}
