package tokensource_test

// What a store gets to see of a token, and what comes out of it again.

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

// encodings are the forms in which a secret could lie in a longer text. In
// base64 it has three, by where it begins.
func encodings(secret string) map[string]string {
	forms := map[string]string{
		"plain": secret,
		"hex":   hex.EncodeToString([]byte(secret)),
		"HEX":   fmt.Sprintf("%X", secret),
	}
	for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := enc.EncodeToString([]byte("  "[:shift] + secret))
			forms[fmt.Sprint(name, " at ", shift)] = text[(8*shift+5)/6 : len(text)-1]
		}
	}
	return forms
}

func TestStoredBytesHoldNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		sources := everySource(f)
		secrets := []string{sandbox.ID, sandbox.Secret, "access_token", "the StoreKey itself"}
		for name, src := range sources {
			c := &tokensource.Cache{Source: src, Store: f.store.Handle(), StoreKey: []byte("the StoreKey itself")}
			tok, err := c.Token()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			secrets = append(secrets, tok.AccessToken)
		}
		synctest.Wait()
		entries := f.store.Entries()
		if len(entries) != len(sources) {
			t.Fatalf("%d entries for %d sources", len(entries), len(sources))
		}
		for key, value := range entries {
			if !regexp.MustCompile(`^[0-9a-z-]+$`).MatchString(key) {
				t.Errorf("the key %q is not of the promised characters", key)
			}
			for _, where := range [][]byte{[]byte(key), value} {
				for _, secret := range secrets {
					for form, text := range encodings(secret) {
						if bytes.Contains(where, []byte(text)) {
							t.Errorf("%q lies in the store (%s)", secret, form)
						}
					}
				}
			}
		}
	})
}

// The search above finds what it looks for.
func TestEncodingsAreFound(t *testing.T) {
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("xyz"[:shift] + sandbox.Secret + "and more"))
		if form := fmt.Sprint("base64 at ", shift); !bytes.Contains([]byte(text), []byte(encodings(sandbox.Secret)[form])) {
			t.Errorf("%s is not found in %s", form, text)
		}
	}
}

// Nobody can tell by the bytes whether the token is still the same.
func TestSealingIsRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sealed [][]byte
		expiry := time.Now().Add(time.Hour)
		for range 2 {
			store := &storetest.Memory{}
			c := &tokensource.Cache{Source: &scriptedSource{reply: func(int) (*oauth2.Token, error) {
				return &oauth2.Token{AccessToken: "the same", Expiry: expiry}, nil
			}}, Store: store, StoreKey: []byte("key")}
			if _, err := c.Token(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, value := range store.Entries() {
				sealed = append(sealed, value)
			}
		}
		if len(sealed) != 2 || bytes.Equal(sealed[0], sealed[1]) {
			t.Error("the same token was sealed to the same bytes twice")
		}
	})
}

// everySource has the sources of this package that a store may serve, and one
// that is not ours.
func everySource(f *fleet) map[string]oauth2.TokenSource {
	creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
	return map[string]oauth2.TokenSource{
		"Blink":        &tokensource.Blink{Credentials: creds, BaseURL: f.URL, HTTPClient: f.Client()},
		"Blink legacy": &tokensource.Blink{Credentials: creds, BaseURL: f.URL, HTTPClient: f.Client(), Legacy: true},
		"Flinks":       &tokensource.Flinks{Credentials: creds, BaseURL: f.URL, HTTPClient: f.Client(), Reusable: true},
		"Blackhawk":    &tokensource.Blackhawk{Credentials: creds, BaseURL: f.URL, HTTPClient: f.Client()},
		"foreign":      &scriptedSource{lifetime: time.Hour},
	}
}

// foreignToken returns a token as x/oauth2 makes it of an answer.
func foreignToken(extra any) *oauth2.Token {
	tok := &oauth2.Token{AccessToken: "foreign", TokenType: "DPoP", RefreshToken: "refresh", Expiry: time.Now().Add(time.Hour), ExpiresIn: 3600}
	return tok.WithExtra(extra)
}

func TestTokensSurviveTheStore(t *testing.T) {
	for name, fields := range map[string][]string{
		"Blink": {"payment_types", "currencies", "payment_api_status", "send_blink_receipt", "enable_moto_payments",
			"address_postcode_required", "expired_on"},
		"Blink legacy": {"payment_types", "currency", "send_blink_receipt", "expired_on"},
		"Flinks":       {"token_type", "expires_in"},
		"Blackhawk":    {"token_type", "expires_in", "scope"},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 0)
			survives(t, f.store, everySource(f)[name], fields)
		})
	}
	for name, tok := range map[string]func() *oauth2.Token{
		"a foreign token of a JSON answer": func() *oauth2.Token {
			return foreignToken(map[string]any{"id_token": "<x.y.z>", "scope": "a b", "n": 1.5, "nested": map[string]any{"list": []any{"a", nil, true}}, "null": nil})
		},
		"a foreign token of a form-encoded answer": func() *oauth2.Token {
			return foreignToken(url.Values{"id_token": {"x.y.z"}, "scope": {"a b"}, "n": {"12.5"}, "nested": {"1.5"}, "null": {""}})
		},
		"a foreign token without extra": func() *oauth2.Token { return foreignToken(nil) },
	} {
		inBubble(t, name, func(t *testing.T) {
			src := &scriptedSource{reply: func(int) (*oauth2.Token, error) { return tok(), nil }}
			survives(t, &storetest.Memory{}, src, []string{"id_token", "scope", "n", "nested", "null"})
			wantCalls(t, src, 1)
		})
	}
}

// survives fails the test unless another process gets the same token out of the
// store.
func survives(t *testing.T, store *storetest.Memory, src oauth2.TokenSource, fields []string) {
	t.Helper()
	var tokens [2]*oauth2.Token
	for i := range tokens {
		c := &tokensource.Cache{Source: src, Store: store.Handle(), StoreKey: []byte("key")}
		var err error
		if tokens[i], err = c.Token(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
	}
	fetched, loaded := tokens[0], tokens[1]
	if loaded.AccessToken != fetched.AccessToken || loaded.Type() != fetched.Type() || loaded.RefreshToken != fetched.RefreshToken ||
		!loaded.Expiry.Equal(fetched.Expiry) || loaded.ExpiresIn != fetched.ExpiresIn {
		t.Errorf("another process got\n%+v of\n%+v", loaded, fetched)
	}
	for _, field := range fields {
		if got, want := loaded.Extra(field), fetched.Extra(field); !reflect.DeepEqual(got, want) {
			t.Errorf("Extra(%q) = %#v (%T), was %#v (%[4]T)", field, got, got, want)
		}
	}
	gotDetails, got := tokensource.BlinkDetailsOf(loaded)
	details, ok := tokensource.BlinkDetailsOf(fetched)
	if got != ok || !reflect.DeepEqual(gotDetails, details) {
		t.Errorf("details %+v, %v; were %+v, %v", gotDetails, got, details, ok)
	}
}
