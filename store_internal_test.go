package tokensource

// Sealing from within: what the bytes of an entry are, that no other bytes are
// taken for one, and the field of x/oauth2 that extra fields are read from.

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// An entry of version 1 under the StoreKey "golden", and where it lies.
// Processes of different releases share a store: if this no longer opens,
// entryVersion must change.
const (
	goldenName  = "7e88bbe24a1ee776a7f4ddf4a95d5894"
	goldenEntry = "AQ7OFvNRLnsrK8WYK7gQb1GFV83Gw/EDtMTeUmkiDBUEYSyhQPrEhXTXT1RglXCgjNPQUFO+osy+2AbS/FNc6N7l2jjgz8U4C23wBAXD2kaW" +
		"rQ2MD9txgKrkoaSaTVj3dGkQ09p08LOp5VgduabQCewu5Fb5lYoHoZmPLaxy2fu1CqH+RKhen5wLo1wlG1eI1HcsU12t9qfLON9UzblYnJOe22O0WM9Q" +
		"7hNtyrOQH1UqGmyJGC3QzOfnmtIp2zSZAGlItshDoKVScmFJwfKJh94BOQvRUGu/YXcahFcZDUCssgGWXENKyPaiAUTY+78rgzxNEmfKDMPfhntUGiRe"
)

func golden(t testing.TB) (*vault, []byte) {
	t.Helper()
	v, err := (&Cache{StoreKey: []byte("golden")}).vault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value, err := base64.StdEncoding.DecodeString(goldenEntry)
	if err != nil {
		t.Fatal(err)
	}
	return v, value
}

func TestEntriesOfEarlierReleasesOpen(t *testing.T) {
	v, value := golden(t)
	if v.key != goldenName {
		t.Errorf("the entry lies under %s, want %s", v.key, goldenName)
	}
	e := v.open(value)
	if e == nil {
		t.Fatal("it does not open")
	}
	asked := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := oauth2.Token{AccessToken: "golden-token", TokenType: "Bearer", RefreshToken: "golden-refresh", Expiry: asked.Add(time.Hour), ExpiresIn: 3600}
	got := *e.Token.WithExtra(nil)
	if !reflect.DeepEqual(got, want) || !e.Asked.Equal(asked) {
		t.Errorf("token %+v asked at %v, want %+v at %v", got, e.Asked, want, asked)
	}
	if e.Token.Extra("scope") != "a b" || !reflect.DeepEqual(e.Token.Extra("payment_types"), []any{"card"}) {
		t.Error("its extra fields are lost")
	}
}

// x/oauth2 tells an extra field by its name, not which there are. extraOf reads
// them from a private field: a release of x/oauth2 that renames it would lose
// them without a word.
func TestOAuth2KeepsExtraFieldsInRaw(t *testing.T) {
	raw, ok := reflect.TypeFor[oauth2.Token]().FieldByName("raw")
	if !ok || raw.Type.Kind() != reflect.Interface {
		t.Fatalf("oauth2.Token has changed: teach extraOf where the extra fields are now (raw: %v, %v)", ok, raw.Type)
	}
	v, _ := golden(t)
	for name, tt := range map[string]struct{ extra, want any }{
		"a JSON answer":           {map[string]any{"field": "value"}, "value"},
		"a field that is no text": {map[string]any{"field": []any{"a", 1.5, true}}, []any{"a", 1.5, true}},
		"no fields":               {map[string]any{}, nil},
		"none at all":             {nil, nil},
		"what Extra cannot read":  {map[string]string{"field": "value"}, nil},
		"a map without names":     {map[int]any{1: "value"}, nil},
		"text":                    {"field", nil},
	} {
		tok := (&oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(time.Hour)}).WithExtra(tt.extra)
		sealed, err := v.seal((&Cache{}).snapshot(tok, time.Now()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := v.open(sealed)
		if e == nil {
			t.Errorf("%s: the entry does not open", name)
			continue
		}
		if got := e.Token.Extra("field"); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: Extra = %#v, want %#v", name, got, tt.want)
		}
	}
}

// The store is not trusted: whatever lies there that was not sealed with the
// key counts as absent.
func TestNothingElseOpens(t *testing.T) {
	v, value := golden(t)
	other, err := (&Cache{StoreKey: []byte("another")}).vault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if other.open(value) != nil {
		t.Error("another identity opens it")
	}
	moved := *v
	moved.key = other.key
	if moved.open(value) != nil {
		t.Error("it opens under another name")
	}
	for i := range value {
		if v.open(value[:i]) != nil {
			t.Errorf("the first %d bytes open", i)
		}
		flipped := bytes.Clone(value)
		flipped[i] ^= 0x80
		if v.open(flipped) != nil {
			t.Errorf("it opens with byte %d changed", i)
		}
	}
	if v.open(append(bytes.Clone(value), 0)) != nil {
		t.Error("it opens with a byte more")
	}
}

// FuzzOpenEntry takes its bytes for what lies in the store, and for what another
// process has sealed: a later release may put there what this one does not know.
func FuzzOpenEntry(f *testing.F) {
	v, value := golden(f)
	for _, seed := range []string{
		string(value), "", "\x01", "\x02" + string(value[1:]), "null", "{}", "[]", `"token"`,
		`{"Token":null}`, `{"Token":{}}`, `{"Token":{"access_token":1}}`,
		`{"Token":{"access_token":"t","expiry":"2026-01-02T03:04:05Z"},"Extra":{"scope":null},"Asked":"2026-01-02T02:04:05Z"}`,
		`{"Token":{"access_token":"t","expires_in":9223372036854775807},"Extra":null,"Asked":"0001-01-01T00:00:00Z"}`,
		`{"Token":{"access_token":"t","expiry":"9999-12-31T23:59:59Z"},"Extra":{},"Asked":"9999-12-31T23:59:59Z"}`,
		`{"Token":{"access_token":"t","expiry":"yesterday"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v.open(b) != nil && !bytes.Equal(b, value) {
			t.Fatal("it opens, but nobody sealed it")
		}
		e := v.open(v.aead.Seal([]byte{entryVersion}, nil, b, v.additional()))
		if e == nil {
			return
		}
		if e.Token.AccessToken == "" {
			t.Fatal("a token without an access token")
		}
		e.Token.Extra("scope")
		(&Cache{}).snapshot(e.Token, e.Asked)
	})
}
