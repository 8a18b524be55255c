package exchange

import (
	"encoding/base64"
	"fmt"
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

// A password grant, an assertion, an API key in a header: what an Endpoint sends
// besides the pair may be as secret, and come back.
func TestOtherSecretsOfARequestAreRedacted(t *testing.T) {
	for name, c := range map[string]Content{
		"password in a form":     {Form: url.Values{"grant_type": {"password"}, "password": {testSecret}}},
		"assertion in a form":    {Form: url.Values{"client_assertion": {testSecret}}},
		"refresh token":          {Form: url.Values{"refresh_token": {testSecret}}},
		"key in a header":        {Header: http.Header{"X-Api-Key": {testSecret}}},
		"Authorization":          {Header: http.Header{"authorization": {"Bearer " + testSecret}}, IDField: "i", SecretField: "s"},
		"password in JSON":       {JSON: map[string]any{"user": map[string]any{"Password": testSecret}}},
		"password of many words": {JSON: map[string]any{"passphrase": "a b c d " + testSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			c.ID, c.Secret = "an-id-of-mine", "a-secret-of-mine"
			r := newRequest(t, endpointURL, saying(400, fmt.Sprintf(`{"error": "x", "message": "no %s"}`, testSecret)))
			if err := r.Write(c); err != nil {
				t.Fatal(err)
			}
			_, f := r.Do(t.Context())
			wantHidden(t, f, testSecret)
		})
	}
	// What names a request's kind is no secret: a refusal that quotes it shows.
	r := newRequest(t, endpointURL, saying(400, `{"error": "x", "message": "token id_token, payments:read, jwt-bearer"}`))
	err := r.Write(Content{
		ID: "an-id-of-mine", Secret: "a-secret-of-mine", Header: http.Header{"response_type": {"token id_token"}},
		Form: url.Values{"scope": {"payments:read"}, "subject_token_type": {"jwt-bearer"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, f := r.Do(t.Context()); f.Description != "token id_token, payments:read, jwt-bearer" {
		t.Errorf("fault is %+v", f)
	}
}
