package tokensource_test

// What is shared, with whom, and for how long.

import (
	"context"
	"net/http"
	"net/url"
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
