package exchange

// What comes back with a secret in it, in whatever guise, does not show.

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

const (
	keyID  = "eff458c623bba928a1a211521a7e38433bdf68780d0d8a16e2502f43cca322bc"
	key    = "6310e48bdd0e4381459a62b46d2c4fd6e8ab65a2a4d5205c6c3ddebfbbaebbf8"
	phrase = `pass <"phrase"> & é/\=+%`
	signs  = "a1b2_c3d4@e5f6-a7b8"

	// Blink's sample: its payload carries the secret key in clear.
	jwt = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJtZXJjaGFudF9pZCI6NDM5OCwic2VjcmV0X2tleSI6IjYzMTBlNDhiZGQwZTQzODE0NTlhNjJiNDZkMmM0ZmQ2ZThhYjY1YTJhNGQ1MjA1YzZjM2RkZWJmYmJhZWJiZjgiLCJleHAiOjE3MjIzNDkzMTh9.38L2OuCOD9rnmvTU2r3n0wAkF1tHp3GskaVCm7M5RYM"
)

// pairSecrets are those of a request with an id and a secret.
func pairSecrets(id, secret string) []string {
	return []string{id, secret, id + ":" + secret, url.QueryEscape(id) + ":" + url.QueryEscape(secret)}
}

func inJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

func inASCII(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

func quotedPrintable(s string) string {
	var out strings.Builder
	w := quotedprintable.NewWriter(&out)
	w.Write([]byte(s))
	w.Close()
	return out.String()
}

// wrapped breaks a text into lines of n bytes.
func wrapped(s string, n int, end string) string {
	var lines []string
	for len(s) > n {
		lines, s = append(lines, s[:n]), s[n:]
	}
	return strings.Join(append(lines, s), end)
}

func TestRedact(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte(keyID + ":" + key))
	for name, text := range map[string]string{
		"as it is":                     key,
		"the id":                       keyID,
		"in a sentence":                "the key " + key + " is unknown",
		"the first 60 characters":      key[:60],
		"the last 56 characters":       key[8:],
		"eight characters":             "key ..." + key[20:28] + "...",
		"wrapped over lines":           wrapped(key, 20, "\r\n"),
		"wrapped over escaped lines":   wrapped(key, 20, `\n`),
		"wrapped within a quotation":   wrapped(key, 20, "\n> "),
		"in upper case":                strings.ToUpper(key),
		"in groups":                    wrapped(key, 4, "-"),
		"invisible marks within":       wrapped(key, 4, "\u200b"),
		"hex of its bytes":             hex.EncodeToString([]byte(key)),
		"hex dump":                     wrapped(strings.ToUpper(hex.EncodeToString([]byte(key))), 2, ":"),
		"a dump of its bytes":          fmt.Sprint([]byte(key)),
		"Go's dump of its bytes":       fmt.Sprintf("%#v", []byte(key)),
		"full width":                   strings.Map(func(c rune) rune { return c + 0xfee0 }, key),
		"base64 alone":                 base64.StdEncoding.EncodeToString([]byte(key)),
		"base64 after one byte":        base64.StdEncoding.EncodeToString([]byte("x" + key)),
		"base64 after two bytes":       base64.StdEncoding.EncodeToString([]byte("xy" + key)),
		"base64 of the id":             base64.StdEncoding.EncodeToString([]byte(keyID)),
		"Basic":                        "Basic " + basic,
		"Basic in part":                basic[40:60],
		"Basic across the colon":       basic[84:92],
		"Basic wrapped at 76":          wrapped(basic, 76, "\r\n"),
		"Basic in a URL":               url.QueryEscape(basic),
		"Basic quoted-printable":       quotedPrintable(basic),
		"the phrase":                   phrase,
		"phrase in a form":             url.QueryEscape(phrase),
		"phrase in a form, lower case": strings.ToLower(url.QueryEscape(phrase)),
		"phrase in a path":             url.PathEscape(phrase),
		"phrase, doubly escaped":       url.QueryEscape(url.QueryEscape(phrase)),
		"phrase, four times":           url.QueryEscape(url.QueryEscape(url.QueryEscape(url.QueryEscape(phrase)))),
		"phrase, by %u":                "pass%u0020%u003c%u0022phrase%u0022",
		"phrase in JSON":               inJSON(phrase),
		"phrase in JSON in JSON":       inJSON(inJSON(phrase)),
		"phrase in ASCII JSON":         inASCII(phrase),
		"phrase with escaped slashes":  strings.ReplaceAll(inJSON(phrase), "/", `\/`),
		"phrase in HTML":               html.EscapeString(phrase),
		"phrase in HTML in JSON":       inJSON(html.EscapeString(phrase)),
		"phrase in octal":              `\160\141\163\163 <"phr`,
		"phrase in hex escapes":        `\x70\x61\x73\x73 <"phr`,
		"phrase, quoted-printable":     quotedPrintable(phrase),
		"base64 of the pair in a form": base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(keyID) + ":" + url.QueryEscape(phrase))),
		"signs quoted-printable":       strings.NewReplacer("_", "=5F", "@", "=40", "-", "=2D").Replace(signs),
		"entities without an end":      strings.NewReplacer("_", "&#95", "@", "&#x40", "-", "&#45").Replace(signs),
		"URL's base64 of the phrase":   base64.URLEncoding.EncodeToString([]byte(phrase)),
		"a JWT's payload":              strings.Split(jwt, ".")[1],
		"a JWT in part":                jwt[100:120],
		"the whole of a short secret":  "password: hunt-er",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecrets(append(pairSecrets(keyID, key), append(pairSecrets(keyID, phrase), jwt, "hunter", signs)...))
			if got := s.redact(text); got != redacted {
				t.Errorf("%q shows as %q", text, got)
			}
		})
	}
	s := newSecrets(append(pairSecrets(keyID, key), "short", ""))
	for name, text := range map[string]string{
		"another text":              "One or more scopes are not configured for the authorization server resource.",
		"seven characters":          "key ..." + key[20:27] + "...",
		"what is shorter than six":  "a short one",
		"signs that encode nothing": `Don't use "R&D" & co; 50% of the quota, scope=write&status=400`,
	} {
		if got := s.redact(text); got != text {
			t.Errorf("%s shows as %q", name, got)
		}
	}
}

// A legacy refresh has the token only: its payload names the key.
func TestSecretsWithinATokenAreRedacted(t *testing.T) {
	const passphrase = "correct horse battery staple?>"
	for name, payload := range map[string]string{
		"secret key":              `{"secret_key": "` + passphrase + `"}`,
		"API key":                 `{"apiKey": "` + passphrase + `"}`,
		"deep inside":             `{"merchant": {"passwords": ["x", "` + passphrase + `"]}}`,
		"payload that is padded":  `{"token_value": "` + passphrase + `" }`,
		"payload with the signs ": `{"secret_key": "` + passphrase + `", "~~~": "???>>>"}`,
	} {
		for of, encoding := range map[string]*base64.Encoding{"URL's": base64.RawURLEncoding, "the standard's": base64.StdEncoding} {
			token := "eyJhbGciOiJIUzI1NiJ9." + encoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
			if got := newSecrets([]string{token}).redact("unknown key horse battery"); got != redacted {
				t.Errorf("%s, in %s base64: shows as %q", name, of, got)
			}
		}
	}
}

// The token that an answer issues beside its fault is as secret as the request.
func TestIssuedTokenIsRedacted(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"unusable, and in message":    {`{"access_token": "` + issuedToken + `\u0000", "message": "got ` + issuedToken + `"}`, redacted},
		"of the wrong type":           {`{"access_token": {"value": "` + issuedToken + `"}, "message": "got ` + issuedToken + `"}`, redacted},
		"in a list":                   {`{"access_token": ["` + issuedToken + `"], "message": "got ` + issuedToken + `"}`, redacted},
		"under another name":          {`{"data": {"idToken": "` + issuedToken + `"}, "error": "x", "message": "got ` + issuedToken + `"}`, redacted},
		"under a longer name":         {`{"data": {"tokenValue": "` + issuedToken + `"}, "error": "x", "message": "got ` + issuedToken + `"}`, redacted},
		"an API key":                  {`{"data": {"api_key": "` + issuedToken + `"}, "error": "x", "message": "got ` + issuedToken + `"}`, redacted},
		"wrapped over many lines":     {`{"access_token": "` + wrapped(key, 16, `\n`) + `", "message": "got ` + key[:16] + `"}`, redacted},
		"after its scheme":            {`{"token": "the new Bearer ` + issuedToken + `", "error": "x", "message": "got ` + issuedToken + `"}`, redacted},
		"a short sentence, no secret": {`{"errors": {"secret_key": ["Invalid secret key"]}, "error": "x", "message": "Invalid secret key"}`, "Invalid secret key"},
		"a word that is no token":     {`{"token_type": "Bearer-Token", "error": "x", "message": "no Bearer-Token"}`, "no Bearer-Token"},
		"a sentence that is no token": {`{"errors": {"access_token": ["The access token field is required."]}, "error": "x", "message": "The access token field is required."}`, "The access token field is required."},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := newRequest(t, endpointURL, saying(200, c.body)).Do(t.Context())
			if f == nil || f.Description != c.want {
				t.Errorf("fault is %+v, want %q", f, c.want)
			}
		})
	}
}

// A refusal of a megabyte cost nine seconds of CPU time: it is not quoted.
func TestHugeRefusalIsNotQuoted(t *testing.T) {
	var token strings.Builder
	for i := 0; token.Len() < maxAnswer-1000; i++ {
		fmt.Fprintf(&token, "%x", i*7919)
	}
	body := fmt.Sprintf(`{"error": "invalid_client", "error_description": "no %s", "id_token": %q}`, token.String()[500:600], token.String())
	_, f := newRequest(t, endpointURL, saying(401, body)).Do(t.Context())
	if f == nil || f.Status != 401 || f.Code != "invalid_client" || f.Description != "" {
		t.Errorf("fault is %+v", f)
	}
}

// A known code may share letters with an id; one that nobody knows may not.
func TestKnownCodesAreNotDamaged(t *testing.T) {
	for _, c := range []struct{ id, code, want string }{
		{"client", "invalid_client", "invalid_client"},
		{"invalid_client_app", "invalid_client", "invalid_client"},
		{"E0000021-app", "E0000021", "E0000021"},
		{"many_requests", "TOO_MANY_REQUESTS", "TOO_MANY_REQUESTS"},
		{"come_back_soon", "COME_BACK", "COME_BACK"}, // in RetryCodes
		{"client", "invalid_client_2", redacted},
		{"tokens", "E00000211", "E00000211"},
	} {
		r := newRequest(t, endpointURL, saying(400, fmt.Sprintf(`{"error": %q}`, c.code)))
		r.Secrets, r.RetryCodes = pairSecrets(c.id, key), []string{"COME_BACK"}
		if _, f := r.Do(t.Context()); f.Code != c.want {
			t.Errorf("id %q: code %q shows as %q, want %q", c.id, c.code, f.Code, c.want)
		}
	}
}

// A text is one line, without marks that hide or turn it, and not endless.
func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\nb": "a  b", "\x1b[31mred\a\x00": "[31mred", "a\u2028b\u2029c": "a b c", "a\u202eb\u200bc\ufeff": "a b c", "é ß 漢": "é ß 漢", "bad\xff": "bad",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := newSecrets(nil).redact(strings.Repeat("é", 400)); got != strings.Repeat("é", 150)+"..." {
		t.Errorf("a long text shows as %q", got)
	}
}

// disguises are the encodings that FuzzRedaction puts on one another. Of the
// first four none but the innermost is looked for.
var disguises = []func(string) string{
	func(s string) string { return hex.EncodeToString([]byte(s)) },
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("a" + s)) },
	func(s string) string { return fmt.Sprint([]byte(s)) },
	strings.ToUpper,
	strings.ToLower,
	url.QueryEscape,
	url.PathEscape,
	inJSON,
	html.EscapeString,
	quotedPrintable,
	inASCII,
	func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	func(s string) string { return wrapped(s, 20, "\n") },
}

// A random secret in a random disguise inside a random answer does not come
// out, whatever the status and the shape, in any link of the error's chain.
func FuzzRedaction(f *testing.F) {
	for i := range disguises {
		f.Add("test-secret-91ab", "an answer with % in it", byte(i), byte(i*7), uint64(i))
		f.Add(phrase, "", byte(len(disguises)-i), byte(i), uint64(i))
		f.Add(key, `<html>`, byte(0), byte(i), uint64(i))
	}
	alphabet := []rune(`abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=%&<>"'\ éß漢-_.:;`)
	f.Fuzz(func(t *testing.T, secret, around string, inner, outer byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		if len(secret) < part {
			s := make([]rune, 8+random.IntN(60))
			for i := range s {
				s[i] = alphabet[random.IntN(len(alphabet))]
			}
			secret = string(s)
		}
		if len(secret) > 200 {
			return
		}
		disguised := secret
		if i := int(inner) % (len(disguises) + 1); i < len(disguises) {
			disguised = disguises[i](disguised)
		}
		disguised = disguises[4+int(outer)%(len(disguises)-4)](disguised)
		if len(forms(disguised)[0]) < part || len(forms(secret)[0]) < part { // blanks and marks: nothing to tell
			return
		}
		text := around[:min(len(around), 100)] + " " + disguised
		quoted, _ := json.Marshal(text)
		bodies := []string{
			`{"error": "x", "error_description": %s}`, `{"error": %s}`, `{"success": false, "message": %s}`, `{"errorCode": "x", "errorSummary": %s}`,
			`{"FlinksCode": %s, "Message": "x"}`, `{"access_token": %s, "message": "x"}`, `<html>%s`, `%s`,
		}
		r := newRequest(t, endpointURL, saying([]int{200, 400, 401, 429, 500}[random.IntN(5)], fmt.Sprintf(bodies[random.IntN(len(bodies))], quoted)))
		r.Secrets = pairSecrets("some-id-of-mine", secret)
		_, fault := r.Do(t.Context())
		if fault != nil {
			wantHidden(t, fault, Line(disguised), secret)
		}
		r.Client = failing(fmt.Errorf("dialing %s", text))
		_, fault = r.Do(t.Context())
		wantHidden(t, fault, Line(disguised), secret)
	})
}
