package tokensource

// Where the id and the secret come from, and bytes that do not show.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Credentials returns the pair that a provider authenticates with. It is asked
// anew for every token request, so that a rotated secret is picked up without
// a restart. Being a func it prints as an address, never as the secret.
type Credentials func(ctx context.Context) (id, secret string, err error)

// StaticCredentials always returns the same pair.
func StaticCredentials(id, secret string) Credentials {
	return func(context.Context) (string, string, error) { return id, secret, nil }
}

// EnvCredentials reads the pair from two environment variables at each call. A
// byte order mark and newlines at the end are trimmed. The error names each
// variable that is unset or empty and wraps [ErrCredentials].
func EnvCredentials(idVar, secretVar string) Credentials {
	getenv := func(name string) ([]byte, error) { return []byte(os.Getenv(name)), nil }
	return readCredentials(idVar, secretVar, "environment variable %s is not set", getenv)
}

// FileCredentials reads the pair from two files at each call, as a mounted
// secret is rotated in place. A byte order mark and newlines at the end are
// trimmed. The error names each file that is unreadable or empty and wraps
// [ErrCredentials].
func FileCredentials(idPath, secretPath string) Credentials {
	return readCredentials(idPath, secretPath, "file %s is empty", os.ReadFile)
}

// readCredentials reads two values by their names; ifEmpty says that one of them
// has no text.
func readCredentials(idName, secretName, ifEmpty string, read func(name string) ([]byte, error)) Credentials {
	value := func(name string) (string, error) {
		b, err := read(name)
		// What editors and shells add to a secret is no part of it.
		v := strings.TrimRight(strings.TrimPrefix(string(b), "\ufeff"), "\r\n")
		if err == nil && v == "" {
			err = fmt.Errorf(ifEmpty, name)
		}
		return v, err
	}
	return func(context.Context) (string, string, error) {
		id, idErr := value(idName)
		secret, secretErr := value(secretName)
		switch {
		case idErr != nil && secretErr != nil:
			return "", "", fmt.Errorf("%w: %w; %w", ErrCredentials, idErr, secretErr)
		case idErr != nil || secretErr != nil:
			return "", "", fmt.Errorf("%w: %w", ErrCredentials, cmp.Or(idErr, secretErr))
		}
		return id, secret, nil
	}
}

func (c Credentials) pair(ctx context.Context) (id, secret string, err error) {
	if c == nil {
		return "", "", fmt.Errorf("%w: set the Credentials field", ErrCredentials)
	}
	if id, secret, err = c(ctx); err != nil {
		return "", "", fmt.Errorf("reading the credentials: %w", err)
	}
	if id == "" || secret == "" {
		return "", "", fmt.Errorf("%w: Credentials returned an empty id or secret", ErrCredentials)
	}
	return id, secret, nil
}

// Secret is bytes that do not show: in no verb of package fmt, in no log of
// package slog, neither as JSON nor as text.
type Secret []byte

const hiddenText = "[hidden]"

func (Secret) Format(s fmt.State, _ rune)   { io.WriteString(s, hiddenText) }
func (Secret) String() string               { return hiddenText }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hiddenText) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }
