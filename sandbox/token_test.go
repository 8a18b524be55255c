package sandbox_test

// What is inside a token, for a person who decodes one.

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

func TestTokensHaveTheShapeOfTheSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // 2000-01-01, by the bubble's clock
		const secret = "as-secret-as-the-key"
		sb := sandbox.NewInProcess(sandbox.Config{Secret: secret, TokenLifetime: time.Minute})
		blinkClaims := map[string]any{"merchant_id": 4398.0, "secret_key": secret, "exp": 946684860.0}
		for _, test := range []struct {
			provider  sandbox.Provider
			header    map[string]any
			claims    map[string]any
			signature int
		}{
			{sandbox.Blink, map[string]any{"typ": "JWT", "alg": "HS256"}, blinkClaims, 32},
			{sandbox.BlinkLegacy, map[string]any{"typ": "JWT", "alg": "HS256"}, blinkClaims, 32},
			{sandbox.Blackhawk, map[string]any{"kid": "Nfon8R7OLdNcORSRQXsumwYyNg4mnPu-07g8JLL64fo", "alg": "RS256"}, map[string]any{
				"ver": 1.0,
				"iss": "https://dev-993107.oktapreview.com/oauth2/ausjjvpg3aa9ysNWy0h7",
				"aud": "https://www.bhnetwork.com/api",
				"iat": 946684800.0,
				"exp": 946688400.0, // not what expires_in says, as in the sample
				"cid": sandbox.ID,
				"sub": sandbox.ID,
			}, 256},
		} {
			r := tokenRequest(t, sb, test.provider)
			if test.provider == sandbox.Blackhawk {
				r.SetBasicAuth(sandbox.ID, secret)
			} else {
				r = request(t, r.URL.String(), "application/json", strings.Replace(blinkKeys, sandbox.Secret, secret, 1))
			}
			resp, body := do(t, sb, r)
			token := accessToken(t, resp, body)
			parts := strings.Split(token, ".")
			if len(parts) != 3 {
				t.Errorf("%s: %s has %d parts, want 3", test.provider, token, len(parts))
				continue
			}
			header, claims := decode(t, parts[0]), decode(t, parts[1])
			if test.provider == sandbox.Blackhawk {
				if id, _ := claims["jti"].(string); !strings.HasPrefix(id, "AT.") || len(claims["scp"].([]any)) != 1 {
					t.Errorf("got claims %v", claims)
				}
				delete(claims, "jti")
				delete(claims, "scp")
			}
			if !maps.Equal(header, test.header) || !maps.Equal(claims, test.claims) {
				t.Errorf("%s: got  %v %v\nwant %v %v", test.provider, header, claims, test.header, test.claims)
			}
			if b, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil || len(b) != test.signature {
				t.Errorf("%s: the signature has %d bytes, %v, want %d", test.provider, len(b), err, test.signature)
			}
			if !strings.HasPrefix(parts[2], sandbox.TokenMark) {
				t.Errorf("%s: %s has no mark", test.provider, token)
			}
		}
	})
}

func decode(t *testing.T, part string) (object map[string]any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(b, &object)
	}
	if err != nil {
		t.Errorf("%q: %v", part, err)
	}
	return object
}

func TestTokensThatAreNotJWTs(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	resp, body := do(t, sb, refreshRequest(t, sb, newToken(t, sb, sandbox.BlinkLegacy)))
	for token, want := range map[string]string{
		accessToken(t, resp, body):      `^` + sandbox.TokenMark + `\w{20,}$`,
		newToken(t, sb, sandbox.Flinks): `^` + sandbox.FlinksTokenMark + `[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
	} {
		if !regexp.MustCompile(want).MatchString(token) {
			t.Errorf("got %s, want %s", token, want)
		}
	}
}

// A token is known by all of it, not by what its claims say.
func TestForgedToken(t *testing.T) {
	sb := sandbox.NewInProcess(sandbox.Config{})
	for _, p := range sandbox.Providers() {
		token := newToken(t, sb, p)
		forged := token[:len(token)-1] + map[bool]string{true: "B", false: "A"}[token[len(token)-1] == 'A']
		if got := call(t, sb, p, forged); got != http.StatusUnauthorized {
			t.Errorf("%s: got %d for a forged token", p, got)
		}
	}
}
