package listen

// The server's own certificate.

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// renewed is how soon a certificate that was replaced on disk is used.
const renewed = time.Minute

// certificate is read again from its files, as it is renewed there.
type certificate struct {
	certFile, keyFile string

	mu     sync.Mutex
	pair   *tls.Certificate
	looked time.Time
}

func tlsConfig(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" || keyFile == "" {
		return nil, errors.New("--cert and --key go together")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("--cert, --key: %w", err)
	}
	return &tls.Config{GetCertificate: c.get, NextProtos: []string{"http/1.1"}}, nil
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if err == nil {
		c.pair = &pair
	}
	c.looked = time.Now()
	return err
}

// get keeps the last one if the files cannot be read.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= renewed {
		_ = c.read()
	}
	return c.pair, nil
}
