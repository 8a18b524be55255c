package config

// One entry of the file: the fields that all kinds have in common.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/tokensource-go/tokensource"
)

// ClientFunc makes the HTTP client of a source: with the authorities to trust,
// the client's certificate and its key, each a PEM file or "".
type ClientFunc func(caFile, certFile, keyFile string, timeout time.Duration) (*http.Client, []byte, error)

const defaultTimeout = 15 * time.Second // of one request, as the library has it

// Fields are those of every kind. The name is exported for the decoder.
type Fields struct {
	Kind         string        `yaml:"kind"`
	IDEnv        string        `yaml:"id_env"`
	SecretEnv    string        `yaml:"secret_env"`
	IDFile       string        `yaml:"id_file"`
	SecretFile   string        `yaml:"secret_file"`
	CAFile       string        `yaml:"ca_file"`
	CertFile     string        `yaml:"cert_file"`
	KeyFile      string        `yaml:"key_file"`
	Timeout      time.Duration `yaml:"timeout"`
	EarlyRefresh time.Duration `yaml:"early_refresh"`
	Ready        int           `yaml:"ready"`
}

// entry is a source that is being read.
type entry struct {
	loader     *Loader
	name, kind string
	node       ast.Node // nil without a file
	common     *Fields
	dir        string // that paths are relative to
}

func (e *entry) field(name string) string { return join("sources."+e.name, name) }

// wrong is a mistake in a field, with its line.
func (e *entry) wrong(field string, err error) error {
	if e.node == nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	node := e.node
	if found := find(e.node, field); found != nil {
		node = found
	}
	return at(node, e.field(field), err)
}

// empty reports whether there is nothing but the name.
func (e *entry) empty() bool {
	_, null := e.node.(*ast.NullNode)
	return e.node == nil || null
}

// decode reads the fields of a kind, and no others.
func (e *entry) decode(fields any) error {
	if e.empty() {
		return nil
	}
	if err := unknownField(e.node, fields, e.field("")); err != nil {
		return err
	}
	if err := yaml.NodeToValue(e.node, fields, yaml.Strict()); err != nil {
		return located(err, e.field(""))
	}
	return nil
}

func (e *entry) builtin(kind string) *Builtin {
	if i := slices.IndexFunc(e.loader.Builtins, func(b Builtin) bool { return b.Kind == kind }); i >= 0 {
		return &e.loader.Builtins[i]
	}
	return nil
}

// baseURL is a built-in kind's address.
func (e *entry) baseURL(written string) (string, error) {
	b := e.builtin(e.kind)
	if url := cmp.Or(written, os.Getenv(b.BaseVar), b.BaseURL); url != "" {
		return url, nil
	}
	return "", e.wrong("base_url", fmt.Errorf("%s has no public address: set base_url or %s to the one you were given", e.kind, b.BaseVar))
}

// credentials come from two variables or two files.
func (e *entry) credentials(c *Fields) (tokensource.Credentials, error) {
	byEnv, byFile := c.IDEnv != "" || c.SecretEnv != "", c.IDFile != "" || c.SecretFile != ""
	switch b := e.builtin(e.kind); {
	case byEnv && byFile:
		return nil, e.wrong("id_env", errors.New("the credentials come from variables or from files, not from both"))
	case byEnv && (c.IDEnv == "" || c.SecretEnv == ""):
		return nil, e.wrong(present(c.IDEnv, "id_env", "secret_env"), errors.New("id_env and secret_env go together"))
	case byFile && (c.IDFile == "" || c.SecretFile == ""):
		return nil, e.wrong(present(c.IDFile, "id_file", "secret_file"), errors.New("id_file and secret_file go together"))
	case byFile:
		return tokensource.FileCredentials(e.path(c.IDFile), e.path(c.SecretFile)), nil
	case byEnv:
		return tokensource.EnvCredentials(c.IDEnv, c.SecretEnv), nil
	case b != nil:
		return tokensource.EnvCredentials(b.IDVar, b.SecretVar), nil
	}
	return nil, e.wrong("", errors.New("there are no credentials: set id_env and secret_env, or id_file and secret_file"))
}

func present(value, name, other string) string {
	if value != "" {
		return name
	}
	return other
}

// connection makes the client, and checks what all kinds have.
func (e *entry) connection(c *Fields) (credentials tokensource.Credentials, client *http.Client, certificate []byte, err error) {
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"timeout", c.Timeout}, {"early_refresh", c.EarlyRefresh}} {
		if err := e.duration(d.field, d.value); err != nil {
			return nil, nil, nil, err
		}
	}
	if credentials, err = e.credentials(c); err != nil {
		return nil, nil, nil, err
	}
	for _, f := range []struct{ field, path string }{
		{"id_file", c.IDFile}, {"secret_file", c.SecretFile}, {"ca_file", c.CAFile}, {"cert_file", c.CertFile}, {"key_file", c.KeyFile},
	} {
		if _, err := os.Stat(e.path(f.path)); f.path != "" && err != nil {
			if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
				err = pathError.Err // the path may be a secret in the wrong place
			}
			return nil, nil, nil, e.wrong(f.field, err)
		}
	}
	client, certificate, err = e.loader.Client(e.path(c.CAFile), e.path(c.CertFile), e.path(c.KeyFile), cmp.Or(c.Timeout, defaultTimeout))
	if err != nil {
		return nil, nil, nil, e.wrong("", err)
	}
	return credentials, client, certificate, nil
}

// duration refuses negative ones, and nanoseconds.
func (e *entry) duration(field string, d time.Duration) error {
	if d == 0 || d >= time.Millisecond {
		return nil
	}
	return e.wrong(field, errUnit)
}

func (e *entry) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(e.dir, p)
}

// Check reads the credentials, and makes no request.
func (s *Source) Check(ctx context.Context) error {
	_, _, err := s.Provider.Endpoint().Credentials(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// values is a text or a list of texts.
type values []string

func (v *values) UnmarshalYAML(unmarshal func(any) error) error {
	var list []string
	if err := unmarshal(&list); err == nil {
		*v = list
		return nil
	}
	var one string
	err := unmarshal(&one)
	*v = values{strings.TrimSpace(one)}
	return err
}
