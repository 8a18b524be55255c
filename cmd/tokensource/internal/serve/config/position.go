package config

// Where in the file a mistake is.

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// find returns the node at a path, nil if there is none.
func find(node ast.Node, field string) ast.Node {
	path, err := yaml.PathString("$." + field)
	if err != nil {
		return nil
	}
	found, err := path.FilterNode(node)
	if err != nil {
		return nil
	}
	return found
}

// at is an error with the line of a node.
func at(node ast.Node, field string, err error) error {
	line := 1
	if node != nil && node.GetToken() != nil {
		line = node.GetToken().Position.Line
	}
	if field == "" {
		return fmt.Errorf("%d: %w", line, err)
	}
	return fmt.Errorf("%d: %s: %w", line, field, err)
}

var (
	errUnit    = errors.New("a duration has a unit: 30s, 10m")
	errUnknown = errors.New("unknown field")
)

// located is an error of the YAML library, which would quote the file.
func located(err error, field string) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return fmt.Errorf("1: %scannot be read as YAML or JSON", prefix(field))
	}
	token := e.GetToken()
	var mismatch *yaml.TypeError
	text := "cannot be read as YAML or JSON"
	switch {
	case errors.As(err, new(*yaml.UnknownFieldError)):
		return fmt.Errorf("%d: %s%w", token.Position.Line, prefix(join(field, token.Value)), errUnknown)
	case errors.As(err, new(*yaml.DuplicateKeyError)):
		return fmt.Errorf("%d: %sis there twice", token.Position.Line, prefix(join(field, token.Value)))
	case errors.As(err, new(*yaml.TypeError)), errors.As(err, new(*yaml.UnexpectedNodeTypeError)), errors.As(err, new(*yaml.OverflowError)):
		text = "a value of another type is wanted"
		if errors.As(err, &mismatch) && mismatch.DstType == reflect.TypeFor[time.Duration]() {
			text = errUnit.Error()
		}
		if before := token.Prev; before != nil && before.Prev != nil && before.Value == ":" {
			field = join(field, before.Prev.Value)
		}
	}
	return fmt.Errorf("%d:%d: %s%s", token.Position.Line, token.Position.Column, prefix(field), text)
}

// unknownField is about the first field of a mapping that a struct does not
// have: the decoder names any of them. It is nil if there is none.
func unknownField(node ast.Node, fields any, parent string) error {
	known := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(fields).Elem()) {
		known[f.Tag.Get("yaml")] = true
	}
	mapping, ok := node.(ast.MapNode)
	if !ok {
		return nil
	}
	for i := mapping.MapRange(); i.Next(); {
		if key := i.Key(); !key.IsMergeKey() && !known[key.GetToken().Value] {
			return at(key, join(parent, key.GetToken().Value), errUnknown)
		}
	}
	return nil
}

func prefix(field string) string {
	if field == "" {
		return ""
	}
	return field + ": "
}

func join(parent, field string) string { return strings.Trim(parent+"."+field, ".") }

// or lists alternatives.
func or(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	last := len(items) - 1
	return strings.Join(items[:last], ", ") + ", or " + items[last]
}
