package tokensource

// Where the id and the secret come from, and bytes that do not show.

import (
	"context"
	"errors"
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
	return readCredentials(idVar, secretVar, func(name string) (string, error) {
		v := trim(os.Getenv(name))
		if v == "" {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return v, nil
	})
}

// FileCredentials reads the pair from two files at each call, as a mounted
// secret is rotated in place. A byte order mark and newlines at the end are
// trimmed. The error names each file that is unreadable or empty and wraps
// [ErrCredentials].
func FileCredentials(idPath, secretPath string) Credentials {
	return readCredentials(idPath, secretPath, func(path string) (string, error) {
		b, err := os.ReadFile(path)
		v := trim(string(b))
		if err == nil && v == "" {
			err = fmt.Errorf("file %s is empty", path)
		}
		return v, err
	})
}

// trim removes what editors and shells add to a secret.
func trim(s string) string { return strings.TrimRight(strings.TrimPrefix(s, "\ufeff"), "\r\n") }

func readCredentials(idName, secretName string, read func(string) (string, error)) Credentials {
	return func(context.Context) (id, secret string, err error) {
		id, err1 := read(idName)
		secret, err2 := read(secretName)
		if err := errors.Join(err1, err2); err != nil {
			text := strings.ReplaceAll(err.Error(), "\n", "; ")
			return "", "", &rewordedError{text, fmt.Errorf("%w: %w", ErrCredentials, err)}
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
