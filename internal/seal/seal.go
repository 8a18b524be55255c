// Package seal encrypts what the processes of one identity share, so that
// reading it takes the identity: credentials, endpoint and options.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// version of what is sealed. It is part of the entries' names, so processes of
// two releases never overwrite each other's entries.
const version = "2"

// Box seals and opens the entries of one identity.
type Box struct {
	name string
	aead cipher.AEAD
}

// New derives the entries' names and the sealing key from identity. It needs no
// further key: another identity leads elsewhere.
func New(identity []byte) (*Box, error) {
	key, err1 := hkdf.Key(sha256.New, identity, nil, "tokensource store entry "+version+": sealing key", 32)
	name, err2 := hkdf.Key(sha256.New, identity, nil, "tokensource store entry "+version+": name", 16)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Box{hex.EncodeToString(name), aead}, err
}

// Name is the store's key for one kind of entry. It tells nothing about the
// identity to a reader who cannot guess that.
func (b *Box) Name(kind string) string { return b.name + "-" + kind }

// Seal encrypts plain as the entry of a kind.
func (b *Box) Seal(kind string, plain []byte) []byte {
	return b.aead.Seal(nil, nil, plain, []byte(b.Name(kind)))
}

// Open reports false for what this identity has not sealed as that kind.
func (b *Box) Open(kind string, value []byte) ([]byte, bool) {
	plain, err := b.aead.Open(nil, nil, value, []byte(b.Name(kind)))
	return plain, err == nil
}
