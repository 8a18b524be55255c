package seal_test

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"testing"

	"github.com/tokensource-go/tokensource/internal/seal"
)

// An entry of version 2. Processes of different releases share a store: if this
// no longer opens, the version must change.
const (
	goldenName  = "3f2446ddab0338eb774a70afa37f18d6-token"
	goldenEntry = "HPi86NS9HOpiJ/vdYZmum7PZGyOs74eR4Shy+qGXVZOKaJ4="
)

func box(t testing.TB, identity string) *seal.Box {
	t.Helper()
	b, err := seal.New([]byte(identity))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t testing.TB) []byte {
	t.Helper()
	value, err := base64.StdEncoding.DecodeString(goldenEntry)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestEntriesOfThisVersionOpen(t *testing.T) {
	b := box(t, "golden")
	if b.Name("token") != goldenName {
		t.Errorf("the entry lies under %s, want %s", b.Name("token"), goldenName)
	}
	if plain, ok := b.Open("token", golden(t)); !ok || string(plain) != "a token" {
		t.Errorf("got %q, %v", plain, ok)
	}
}

func TestNothingElseOpens(t *testing.T) {
	value := golden(t)
	changed := func(i int) []byte {
		v := bytes.Clone(value)
		v[i] ^= 1
		return v
	}
	for name, c := range map[string]struct {
		identity, kind string
		value          []byte
	}{
		"another identity":  {"golden2", "token", value},
		"another kind":      {"golden", "failure", value},
		"nothing":           {"golden", "token", nil},
		"a byte":            {"golden", "token", value[:1]},
		"its start":         {"golden", "token", value[:len(value)-1]},
		"more":              {"golden", "token", append(bytes.Clone(value), 0)},
		"the first changed": {"golden", "token", changed(0)},
		"the last changed":  {"golden", "token", changed(len(value) - 1)},
	} {
		if plain, ok := box(t, c.identity).Open(c.kind, c.value); ok {
			t.Errorf("%s opens as %q", name, plain)
		}
	}
}

func TestSealing(t *testing.T) {
	b := box(t, "identity")
	one, two := b.Seal("token", []byte("plain text")), b.Seal("token", []byte("plain text"))
	if bytes.Equal(one, two) {
		t.Error("the same text was sealed to the same bytes twice")
	}
	for _, sealed := range [][]byte{one, two} {
		if plain, ok := b.Open("token", sealed); !ok || string(plain) != "plain text" || bytes.Contains(sealed, []byte("plain")) {
			t.Errorf("%q opens as %q, %v", sealed, plain, ok)
		}
	}
	if other := box(t, "identity2"); other.Name("token") == b.Name("token") {
		t.Error("two identities share a name")
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}-token$`).MatchString(b.Name("token")) {
		t.Errorf("name %q", b.Name("token"))
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(golden(f))
	f.Add([]byte{})
	b := box(f, "golden")
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, ok := b.Open("token", value); ok && !bytes.Equal(value, golden(t)) {
			t.Errorf("%x opens", value)
		}
	})
}
