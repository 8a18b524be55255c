// Package config reads what tokensource serve is to serve: named sources, from
// a file in YAML or JSON or from the environment alone. Credentials are named
// there, by environment variable or file, and never written there.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/tokensource-go/tokensource"
)

// Source is one of what is served.
type Source struct {
	Name         string
	Kind         string
	Provider     tokensource.Provider
	Certificate  tokensource.Secret // the client's: a token may be good only with it
	Scope        string             // that the provider is asked for
	Ready        int
	EarlyRefresh time.Duration
}

// Builtin is where the credentials and the address of a built-in kind come from
// unless the file says otherwise.
type Builtin struct {
	Kind                      string
	IDVar, SecretVar, BaseVar string
	BaseURL                   string
}

// Loader reads configurations.
type Loader struct {
	Builtins []Builtin
	Client   ClientFunc
}

// maxFile is far more than a thousand sources take.
const maxFile = 1 << 20

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// File reads a configuration file. Its errors name file, line and field, and
// quote no value: a secret may stand in the wrong place.
func (l *Loader) File(path string) ([]Source, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	sources, err := l.parse(text, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("configuration: %s:%w", path, err)
	}
	return sources, nil
}

// Environment configures each built-in source that the environment has
// credentials for.
func (l *Loader) Environment() ([]Source, error) {
	var sources []Source
	var variables []string
	for _, b := range l.Builtins {
		variables = append(variables, b.IDVar+" and "+b.SecretVar)
		if os.Getenv(b.IDVar) == "" || os.Getenv(b.SecretVar) == "" {
			continue
		}
		e := &entry{loader: l, name: b.Kind, kind: b.Kind}
		s, err := e.source()
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("nothing to serve: set %s, or write a file for --config", or(variables))
	}
	return sources, nil
}

func (l *Loader) parse(text []byte, dir string) ([]Source, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, located(err, "")
	}
	switch {
	case len(file.Docs) > 1 && file.Docs[1].Body != nil:
		return nil, at(file.Docs[1].Body, "", errors.New("a second document: one is all there can be"))
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return nil, errors.New("1: the file is empty: it needs sources")
	}
	body := file.Docs[0].Body
	var top struct {
		Sources map[string]ast.Node `yaml:"sources"`
	}
	if err := unknownField(body, &top, ""); err != nil {
		return nil, err
	}
	if err := yaml.NodeToValue(body, &top, yaml.Strict()); err != nil {
		return nil, located(err, "")
	}
	if len(top.Sources) == 0 {
		return nil, at(body, "sources", errors.New("there are none"))
	}
	var sources []Source
	for _, name := range slices.Sorted(maps.Keys(top.Sources)) {
		e := &entry{loader: l, name: name, node: top.Sources[name], dir: dir}
		if e.node == nil { // the decoder drops a null, but it has a line
			e.node = find(body, "sources."+name)
		}
		s, err := e.read()
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// read is one entry of sources.
func (e *entry) read() (s Source, err error) {
	if !names.MatchString(e.name) {
		return s, at(e.node, "sources", errors.New("a name is 1 to 64 of a-z, 0-9, - and _, beginning with a letter or a digit"))
	}
	switch e.node.(type) {
	case ast.MapNode, *ast.NullNode: // "blink:" with nothing below it
	default:
		return s, e.wrong("", errors.New("not a mapping of fields to values"))
	}
	var kind struct {
		Kind string `yaml:"kind"`
	}
	if !e.empty() {
		if err := yaml.NodeToValue(e.node, &kind); err != nil {
			return s, located(err, e.field(""))
		}
	}
	if e.kind = kind.Kind; e.kind == "" {
		e.kind = endpointKind
		if e.builtin(e.name) != nil {
			e.kind = e.name
		}
	}
	return e.source()
}
