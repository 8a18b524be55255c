package exchange

// No secret shows in what came back. A text that shares eight bytes with a
// secret, or that may be encoded, is dropped as a whole: there is nothing to
// locate and nothing to decode, so nothing to get wrong.

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	redacted = "[redacted]"

	part     = 8 // bytes of a secret that must not show
	shortest = 6 // a shorter secret is no secret, but part of ordinary words
	maxShown = 300
)

// encoded matches escapes of JSON, Go, URLs, HTML and quoted-printable, and
// letters and digits of full width. However many layers there are, the outermost
// shows. "50% off", "R&D" and "status=400" are none.
var encoded = regexp.MustCompile(`\\|%[^ .,;:)]|&#|&[#\w\r\n]+;|(?i)=(3d|[89a-f][[:xdigit:]])|[０-９Ａ-Ｚａ-ｚ]`)

// dressing is what quoted-printable writes for a sign, which may be an ordinary
// text too, and what precedes a byte in a dump.
var dressing = regexp.MustCompile(`=[[:xdigit:]]{2}|0[xX]`)

// secrets are all secrets in the forms that texts are compared in.
type secrets []string

func newSecrets(plain []string) (s secrets) {
	for _, token := range plain {
		plain = append(plain, namedSecret(claims(token), false)...)
	}
	for _, secret := range plain {
		if len(secret) < shortest {
			continue
		}
		s = append(s, forms(secret)...)
		s = append(s, forms(hex.EncodeToString([]byte(secret)))...)
		s = append(s, forms(fmt.Sprint([]byte(secret)))...)
		for shift := range 3 { // the alignments within a longer text
			b64 := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:shift] + secret))
			s = append(s, forms(b64[(8*shift+5)/6:(8*(shift+len(secret)))/6])...)
		}
	}
	return slices.DeleteFunc(s, func(form string) bool { return len(form) < shortest })
}

// in reports whether a text has a part of a secret, or may have it in disguise.
func (s secrets) in(text string) bool {
	if encoded.MatchString(text) {
		return true
	}
	for _, form := range append(forms(text), forms(dressing.ReplaceAllString(text, ""))...) {
		for _, secret := range s {
			n := min(part, len(secret))
			for i := range max(0, len(form)-n+1) {
				if strings.Contains(secret, form[i:i+n]) {
					return true
				}
			}
		}
	}
	return false
}

// forms returns a text without case and blanks, and its letters and digits only.
func forms(s string) []string {
	s = strings.ToLower(s)
	letters := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return -1
	}, s)
	return []string{strings.ReplaceAll(Line(s), " ", ""), letters}
}

// redact returns what may be shown of a text that came back.
func (s secrets) redact(text string) string {
	text = text[:min(len(text), 2*maxShown)]
	if s.in(text) {
		return redacted
	}
	if text = Line(text); len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}

// Line makes a foreign text fit for one line of a log: printable, without marks
// that hide text or turn it around.
func Line(s string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, s))
}

var secretName = regexp.MustCompile(`(?i)secret|passw|passphrase|key|token|assertion|authorization|cookie`)

func namesSecret(name string) bool {
	return secretName.MatchString(name) && !strings.HasSuffix(strings.ToLower(name), "type") // token_type
}

// namedSecret lists the strings in fields that are named like a secret.
func namedSecret(v any, secret bool) (found []string) {
	switch v := v.(type) {
	case string:
		if secret {
			found = append(found, v)
		}
	case []any:
		for _, v := range v {
			found = append(found, namedSecret(v, secret)...)
		}
	case map[string]any:
		for name, v := range v {
			found = append(found, namedSecret(v, secret || namesSecret(name))...)
		}
	}
	return found
}

// sentence reports whether a text under the name of a secret only speaks about
// it: it has several words, all of them short.
func sentence(text string) bool {
	words := strings.Fields(text)
	return len(words) > 1 && !slices.ContainsFunc(words, func(word string) bool { return len(word) > 15 })
}

// ofURL makes base64 of all kinds that of a JWT.
var ofURL = strings.NewReplacer("+", "-", "/", "_", "=", "")

// claims returns what a JWT carries in clear: Blink's has the secret key.
func claims(token string) (fields map[string]any) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(ofURL.Replace(parts[1]))
		json.Unmarshal(payload, &fields) // what is no JWT has none
	}
	return fields
}
