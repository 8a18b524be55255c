// Package extra copies the extra fields of a token, which come from an answer in
// JSON: a caller may change its copy.
package extra

import (
	"reflect"

	"golang.org/x/oauth2"
)

// Of lists the extra fields, which oauth2.Token shows by name only.
func Of(tok *oauth2.Token) map[string]any {
	raw := reflect.ValueOf(tok).Elem().FieldByName("raw")
	if raw.Kind() != reflect.Interface || raw.Elem().Kind() != reflect.Map {
		return nil
	}
	extra := make(map[string]any, raw.Elem().Len())
	for _, name := range raw.Elem().MapKeys() {
		extra[name.String()] = tok.Extra(name.String())
	}
	return extra
}

// Shared reports whether a copy of the map would share something that can be
// changed.
func Shared(extra map[string]any) bool {
	for _, v := range extra {
		switch reflect.ValueOf(v).Kind() {
		case reflect.Map, reflect.Slice, reflect.Pointer:
			return true
		}
	}
	return false
}

// Copy copies maps and slices at any depth. What lies behind a pointer stays
// shared: JSON has none.
func Copy(extra map[string]any) map[string]any {
	return deepCopy(reflect.ValueOf(extra)).Interface().(map[string]any)
}

func deepCopy(v reflect.Value) reflect.Value {
	switch kind := v.Kind(); {
	case kind == reflect.Interface && !v.IsNil():
		return deepCopy(v.Elem())
	case kind == reflect.Slice && !v.IsNil():
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(deepCopy(v.Index(i)))
		}
		return c
	case kind == reflect.Map && !v.IsNil():
		c := reflect.MakeMapWithSize(v.Type(), v.Len())
		for name, element := range v.Seq2() {
			c.SetMapIndex(name, deepCopy(element))
		}
		return c
	}
	return v
}
