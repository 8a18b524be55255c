package exchange

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
)

// Blink fixes its options into a token: two configurations must never share one,
// whichever part of the request tells them apart.
func TestIdentity(t *testing.T) {
	const id, secret = "an-id", "a-secret"
	identity := func(address string, c Content) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{URL: u}
		if err := r.Write(c); err != nil {
			t.Fatal(err)
		}
		return string(r.Identity())
	}
	seen := map[string]string{}
	for name, c := range map[string]struct {
		address string
		content Content
	}{
		"Basic":          {endpointURL, Content{ID: id, Secret: secret}},
		"another URL":    {endpointURL + "/v2", Content{ID: id, Secret: secret}},
		"another id":     {endpointURL, Content{ID: "b", Secret: secret}},
		"another secret": {endpointURL, Content{ID: id, Secret: "b"}},
		"a header":       {endpointURL, Content{ID: id, Secret: secret, Header: http.Header{"X-Tenant": {"7"}}}},
		"a scope":        {endpointURL, Content{ID: id, Secret: secret, Form: url.Values{"scope": {"all"}}}},
		"fields":         {endpointURL, Content{ID: id, Secret: secret, IDField: "i", SecretField: "s"}},
		"JSON":           {endpointURL, Content{ID: id, Secret: secret, JSON: map[string]any{}}},
		"an option":      {endpointURL, Content{ID: id, Secret: secret, JSON: map[string]any{"moto": true}}},
	} {
		got := identity(c.address, c.content)
		if other := seen[got]; other != "" {
			t.Errorf("%s has the identity of %s", name, other)
		}
		if got != identity(c.address, c.content) {
			t.Errorf("%s has two identities", name)
		}
		seen[got] = name
	}
}

// RFC 6749 would have the pair URL-escaped, which the providers do not expect.
func TestBasicIsThePairAsItIs(t *testing.T) {
	r := &Request{}
	if err := r.Write(Content{ID: "a+b", Secret: "c%d é"}); err != nil {
		t.Fatal(err)
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("a+b:c%d é"))
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization is %q, want %q", got, want)
	}
}
