package tokensource_test

// What is shared, with whom, and for how long.

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"github.com/tokensource-go/tokensource/storetest"
)

// coder#26530: an empty key shared tokens between users.
func TestForeignSourceNeedsAStoreKey(t *testing.T) {
	for name, key := range map[string][]byte{"none": nil, "an empty one": {}} {
		inBubble(t, name, func(t *testing.T) {
			src := &scriptedSource{lifetime: time.Hour}
			store := &storetest.Memory{}
			c := &tokensource.Cache{Source: src, Store: store, StoreKey: key}
			a := ask(t.Context(), c)
			if e := asError(t, a.err); !strings.Contains(e.Error(), "StoreKey") || e.Temporary() {
				t.Errorf("error %q, want one that says to set the StoreKey", e)
			}
			wantCalls(t, src, 0)
			if n := len(store.Entries()); n > 0 {
				t.Errorf("the store has %d entries", n)
			}
		})
	}
}

// Single-use tokens never enter a store: each would be used twice.
func TestSingleUseTokensNeverEnterAStore(t *testing.T) {
	untouched := func(t *testing.T) *storetest.Memory {
		return &storetest.Memory{Before: func(_ context.Context, method, _ string) error {
			t.Errorf("%s of a store", method)
			return nil
		}}
	}
	flinks := func(f *fleet) *tokensource.Flinks {
		return &tokensource.Flinks{Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), BaseURL: f.URL, HTTPClient: f.Client()}
	}
	distinct := func(t *testing.T, c *tokensource.Cache, calls int) {
		t.Helper()
		seen := map[string]bool{}
		for range calls {
			for _, a := range crowd(t.Context(), c, 2) {
				if a.err != nil || seen[a.access] {
					t.Errorf("%+v, want a token of its own", a)
				}
				seen[a.access] = true
			}
		}
	}
	inBubble(t, "Flinks", func(t *testing.T) {
		f := newFleet(t, 0)
		distinct(t, &tokensource.Cache{Source: flinks(f), Store: untouched(t)}, 3)
	})
	inBubble(t, "Flinks beside a process that takes them for reusable", func(t *testing.T) {
		f := newFleet(t, 0)
		reusable := flinks(f)
		reusable.Reusable = true
		if a := ask(t.Context(), &tokensource.Cache{Source: reusable, Store: f.store}); a.err != nil {
			t.Fatal(a.err)
		}
		f.entry(t)
		distinct(t, &tokensource.Cache{Source: flinks(f), Store: untouched(t)}, 3)
	})
	for name, src := range map[string]func(*fleet) oauth2.TokenSource{
		"hidden in a wrapper":                  func(f *fleet) oauth2.TokenSource { return contextless{flinks(f)} },
		"hidden in a wrapper that has waiters": func(f *fleet) oauth2.TokenSource { return deaf{flinks(f)} },
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 0)
			f.store.Before = func(_ context.Context, method, _ string) error {
				if method == "Save" {
					t.Error("it was saved")
				}
				return nil
			}
			distinct(t, &tokensource.Cache{Source: src(f), Store: f.store, StoreKey: []byte("key")}, 3)
			if n := len(f.store.Entries()); n > 0 {
				t.Errorf("the store has %d entries", n)
			}
		})
	}
}

// Nothing would remove a token that never expires.
func TestEntriesHaveATimeToLive(t *testing.T) {
	for name, lifetime := range map[string]time.Duration{
		"until callers stop using the token": time.Hour,
		"none for a token without an expiry": 0,
	} {
		inBubble(t, name, func(t *testing.T) {
			src := &scriptedSource{lifetime: lifetime, latency: blinkLatency}
			store := &storetest.Memory{}
			c := &tokensource.Cache{Source: src, Store: store, StoreKey: []byte("key"), Synchronous: true}
			if a := ask(t.Context(), c); a.err != nil {
				t.Fatal(a.err)
			}
			gone := lifetime - 10*time.Second
			if lifetime > 0 {
				time.Sleep(gone - blinkLatency - 1)
				if n := len(store.Entries()); n != 1 {
					t.Fatalf("the store has %d entries, want 1", n)
				}
				time.Sleep(time.Nanosecond)
			}
			if n := len(store.Entries()); n > 0 {
				t.Error("the entry outlives its token")
			}
		})
	}
}

func TestOtherConfigurationsNeverMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const base = "https://sandbox.example"
		client := newEndpoint(reply{body: `{"access_token": "token", "expires_in": 1800}`}).client()
		pair := tokensource.StaticCredentials
		creds := pair("id-1", "secret-1")
		blink := func(change func(*tokensource.Blink)) *tokensource.Cache {
			b := &tokensource.Blink{Credentials: creds, BaseURL: base, HTTPClient: client}
			change(b)
			return &tokensource.Cache{Source: b}
		}
		flinks := func(style oauth2.AuthStyle) *tokensource.Cache {
			return &tokensource.Cache{Source: &tokensource.Flinks{Credentials: creds, BaseURL: base, HTTPClient: client, Reusable: true, AuthStyle: style}}
		}
		blackhawk := func(path, scope string) *tokensource.Cache {
			return &tokensource.Cache{Source: &tokensource.Blackhawk{Credentials: creds, BaseURL: base, HTTPClient: client, TokenPath: path, Scope: scope}}
		}
		endpoint := func(change func(*tokensource.Endpoint)) *tokensource.Cache {
			e := &tokensource.Endpoint{URL: base + "/token", Credentials: creds, HTTPClient: client}
			change(e)
			return &tokensource.Cache{Source: e}
		}
		foreign := func(key string) *tokensource.Cache {
			return &tokensource.Cache{Source: &scriptedSource{lifetime: time.Hour}, StoreKey: []byte(key)}
		}
		keyed := blink(func(*tokensource.Blink) {})
		keyed.StoreKey = []byte("key")
		all := map[string]*tokensource.Cache{
			"Blink":                 blink(func(*tokensource.Blink) {}),
			"Blink, other id":       blink(func(b *tokensource.Blink) { b.Credentials = pair("id-2", "secret-1") }),
			"Blink, other secret":   blink(func(b *tokensource.Blink) { b.Credentials = pair("id-1", "secret-2") }),
			"Blink, other seam":     blink(func(b *tokensource.Blink) { b.Credentials = pair("id-1s", "ecret-1") }),
			"Blink, other host":     blink(func(b *tokensource.Blink) { b.BaseURL = "https://other.example" }),
			"Blink, other path":     blink(func(b *tokensource.Blink) { b.BaseURL = base + "/test" }),
			"Blink, legacy":         blink(func(b *tokensource.Blink) { b.Legacy = true }),
			"Blink, receipt":        blink(func(b *tokensource.Blink) { b.SendBlinkReceipt = true }),
			"Blink, postcode":       blink(func(b *tokensource.Blink) { b.AddressPostcodeRequired = true }),
			"Blink, MOTO":           blink(func(b *tokensource.Blink) { b.EnableMOTOPayments = true }),
			"Blink, name":           blink(func(b *tokensource.Blink) { b.ApplicationName = "shop" }),
			"Blink, description":    blink(func(b *tokensource.Blink) { b.ApplicationDescription = "shop" }),
			"Blink, site":           blink(func(b *tokensource.Blink) { b.SourceSite = "shop" }),
			"Blink, StoreKey":       keyed,
			"Flinks":                flinks(oauth2.AuthStyleInHeader),
			"Flinks, form":          flinks(oauth2.AuthStyleInParams),
			"Blackhawk":             blackhawk("", ""),
			"Blackhawk, scope":      blackhawk("", "*/default/*"),
			"Blackhawk, other path": blackhawk("/authentication/auth", ""),
			"Endpoint":              endpoint(func(*tokensource.Endpoint) {}),
			"Endpoint, other URL":   endpoint(func(e *tokensource.Endpoint) { e.URL += "/v2" }),
			"Endpoint, fields":      endpoint(func(e *tokensource.Endpoint) { e.IDField, e.SecretField = "id", "secret" }),
			"Endpoint, seam":        endpoint(func(e *tokensource.Endpoint) { e.IDField, e.SecretField = "secret", "id" }),
			"Endpoint, form":        endpoint(func(e *tokensource.Endpoint) { e.Form = url.Values{"audience": {"a", "b"}} }),
			"Endpoint, other form":  endpoint(func(e *tokensource.Endpoint) { e.Form = url.Values{"audience": {"b", "a"}} }),
			"Endpoint, JSON":        endpoint(func(e *tokensource.Endpoint) { e.JSON = map[string]any{"audience": "a"} }),
			"Endpoint, other JSON":  endpoint(func(e *tokensource.Endpoint) { e.JSON = map[string]any{"audience": "b"} }),
			"Endpoint, header":      endpoint(func(e *tokensource.Endpoint) { e.Header = http.Header{"X-Tenant": {"a"}} }),
			"Endpoint, tenant":      endpoint(func(e *tokensource.Endpoint) { e.Header = http.Header{"X-Tenant": {"b"}} }),
			"foreign":               foreign("key"),
			"foreign, other key":    foreign("key2"),
		}
		store := &storetest.Memory{}
		key := map[string]string{} // name → its entry's
		for name, c := range all {
			before := store.Entries()
			c.Store = store
			if _, err := c.Token(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			synctest.Wait()
			for k := range store.Entries() {
				if before[k] == nil {
					key[name] = k
				}
			}
			if key[name] == "" {
				t.Fatalf("%s uses the entry of another configuration", name)
			}
		}

		// Even if an entry was moved there, it would not open: whoever finds it
		// asks for a token of its own.
		entries := store.Entries()
		for name, c := range all {
			for other := range all {
				if err := store.Save(t.Context(), key[name], entries[key[other]], time.Hour); err != nil {
					t.Fatal(err)
				}
				loaded := false
				again := &tokensource.Cache{Source: c.Source, StoreKey: c.StoreKey, Store: store, OnEvent: func(_ context.Context, e tokensource.Event) {
					loaded = loaded || e.Kind == tokensource.EventLoaded
				}}
				if _, err := again.Token(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				again.Close() // its own token is saved
				if loaded != (name == other) {
					t.Errorf("%s loaded the entry of %s: %v", name, other, loaded)
				}
			}
		}
	})
}

// Maps have no order, and clients no identity.
func TestEqualEndpointsInTwoProcessesShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newEndpoint(reply{body: `{"access_token": "token", "expires_in": 1800}`})
		store := &storetest.Memory{}
		loaded := 0
		for range 20 {
			c := &tokensource.Cache{
				Source: &tokensource.Endpoint{
					URL:         "https://sandbox.example/token",
					Credentials: tokensource.StaticCredentials("id", "secret"),
					HTTPClient:  server.client(),
					Header:      http.Header{"X-Tenant": {"a"}, "X-Region": {"b"}, "X-Stage": {"c"}},
					Form:        url.Values{"audience": {"a"}, "scope": {"b"}, "resource": {"c"}},
				},
				Store: store.Handle(),
				OnEvent: func(_ context.Context, e tokensource.Event) {
					if e.Kind == tokensource.EventLoaded {
						loaded++
					}
				},
			}
			if _, err := c.Token(); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if n := len(store.Entries()); loaded != 19 || n != 1 {
			t.Errorf("%d processes of 20 loaded the token, the store has %d entries; want 19 and 1", loaded, n)
		}
	})
}

func TestRotatedSecretLeavesOldEntriesBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		rotated, stale := f.members[0], f.members[1]
		secret := "an earlier secret"
		endpoint := newEndpoint(reply{body: `{"access_token": "of-the-earlier-secret", "expires_in": 1800}`})
		for _, m := range f.members {
			m.Source.(*tokensource.Blink).HTTPClient = endpoint.client()
		}
		rotated.Source.(*tokensource.Blink).Credentials = func(context.Context) (string, string, error) { return sandbox.ID, secret, nil }
		stale.Source.(*tokensource.Blink).Credentials = tokensource.StaticCredentials(sandbox.ID, secret)
		f.wantSame(t, lookAgain)

		// At the rollover both would find each other's token, were it not for
		// the secret.
		endpoint.answer.body = `{"access_token": "of-the-new-secret", "expires_in": 1800}`
		secret = sandbox.Secret
		rotated.Invalidate(&oauth2.Token{AccessToken: "of-the-earlier-secret"})
		wantToken(t, rotated, "of-the-new-secret")
		wantToken(t, stale, "of-the-earlier-secret")
		synctest.Wait()
		if n := len(f.store.Entries()); n != 2 {
			t.Errorf("%d entries, want those of two secrets", n)
		}
	})
}

// What a store gets to see of a token, and what comes out of it again.

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

// Entries that are not of this release, or not of this time.

// olderRelease is the store as a process of an older release uses it: under
// names of its own, with bytes that no other release can read.
type olderRelease struct{ tokensource.Store }

func (olderRelease) name(key string) string { return "older-" + key }

func (olderRelease) turn(value []byte) []byte {
	value = slices.Clone(value)
	slices.Reverse(value)
	return value
}

func (s olderRelease) Load(ctx context.Context, key string) ([]byte, time.Duration, error) {
	value, left, err := s.Store.Load(ctx, s.name(key))
	return s.turn(value), left, err
}

func (s olderRelease) Save(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Save(ctx, s.name(key), s.turn(value), ttl)
}

func (s olderRelease) Delete(ctx context.Context, key string, value []byte) error {
	return s.Store.Delete(ctx, s.name(key), s.turn(value))
}

func (s olderRelease) TryLock(ctx context.Context, key string) (context.Context, func(), error) {
	return s.Store.TryLock(ctx, s.name(key))
}

// A rolling upgrade, one process every 6 minutes. Under one name the releases
// overwrote each other's entries: 12 requests per rollover.
func TestTwoReleasesSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 10)
		for _, m := range f.members {
			m.Store = olderRelease{m.store}
		}
		f.wantSame(t, blinkLatency+lookAgain)
		begin := time.Now()
		for i := range f.members {
			f.serve(t, 10*time.Second, 6*time.Minute)
			names := map[bool]int{}
			for key := range f.store.Entries() {
				if strings.HasSuffix(key, "-token") {
					names[strings.HasPrefix(key, "older-")]++
				}
			}
			if names[true] != 1 || i > 0 && names[false] != 1 {
				t.Fatalf("after %d upgrades the store has %d older and %d newer tokens", i, names[true], names[false])
			}
			f.members[i].Close()
			upgraded := f.join(t)
			f.members = f.members[:len(f.members)-1]
			f.members[i] = upgraded
			if a := ask(t.Context(), upgraded); a.err != nil || i > 0 && a.waited > 0 {
				t.Fatalf("upgrade %d: %+v", i, a)
			}
		}
		f.wantSame(t, 0)
		// A token is renewed after 25 to 26 minutes.
		if n, most := f.requests(), 2*(1+int(time.Since(begin)/(25*time.Minute))); n > most {
			t.Errorf("%d token requests, want no more than two per rollover: %d", n, most)
		}
		if rejected := f.Ledger()[sandbox.Blink].Rejected; rejected > 0 {
			t.Errorf("the API rejected %d tokens", rejected)
		}
	})
}

// An older entry that is put back, by a restored backup or by an attacker.
func TestRolledBackEntryCountsAsAbsent(t *testing.T) {
	for name, replace := range map[string]func(f *fleet){
		"at the rollover": func(*fleet) { time.Sleep(27 * time.Minute) },
		"after the newer token was rejected": func(f *fleet) {
			for _, m := range f.members {
				tok, _ := m.Token()
				m.Invalidate(&oauth2.Token{AccessToken: tok.AccessToken})
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newFleet(t, 5)
			first := f.wantSame(t, blinkLatency+lookAgain)
			key, old := f.entry(t)
			f.serve(t, 10*time.Second, 27*time.Minute)
			second := f.wantSame(t, 0)
			if err := f.store.Save(t.Context(), key, old, time.Hour); err != nil {
				t.Fatal(err)
			}
			replace(f)
			f.tokens(t, blinkLatency+lookAgain)
			time.Sleep(blinkLatency + 2*lookAgain)
			if third := f.wantSame(t, 0); third == first || third == second {
				t.Errorf("the fleet has an old token again")
			}
			f.wantRequests(t, 3)
		})
	}
}
