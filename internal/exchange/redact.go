package exchange

// No secret shows in what came back. A text that shares eight bytes with a
// secret, in whatever guise, is dropped as a whole: there is nothing to locate,
// so nothing to get wrong.

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	redacted = "[redacted]"

	part     = 8 // bytes of a secret that must not show
	shortest = 6 // a shorter secret is no secret, but part of ordinary words

	rounds   = 6   // of decoding: texts are quoted within quotes
	maxShown = 300 // bytes
)

// documentedCode matches error codes of RFC 6749, 7009, 8628 and 8707, of Okta
// and of Flinks.
var documentedCode = regexp.MustCompile(`^(E\d{7}` +
	`|invalid_(request|client|grant|scope|token|target)|unauthorized_client|unsupported_(grant|response|token)_type` +
	`|access_denied|server_error|temporarily_unavailable|authorization_pending|slow_down|expired_token|insufficient_scope` +
	`|TOO_MANY_REQUESTS|RETRY_LATER|UNAUTHORIZED|INVALID_(LOGIN|USERNAME|PASSWORD|REQUEST)|UNKNOWN_ERROR)$`)

// secrets are the parts of all secrets, in the forms that texts are compared in.
type secrets struct {
	parts map[string]bool // of eight bytes
	short []string        // whole secrets that are shorter
}

func newSecrets(plain []string) *secrets {
	s := &secrets{parts: map[string]bool{}}
	for _, token := range plain {
		plain = append(plain, claims(token)...)
	}
	for _, secret := range plain {
		if len(secret) < shortest {
			continue
		}
		encoded := []string{secret, hex.EncodeToString([]byte(secret))}
		for shift := range 3 { // the alignments within a longer text
			b64 := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:shift] + secret))
			encoded = append(encoded, b64[(8*shift+5)/6:(8*(shift+len(secret)))/6])
		}
		for _, e := range encoded {
			for _, form := range forms(e) {
				if shortest <= len(form) && len(form) < part {
					s.short = append(s.short, form)
				}
				for i := range max(len(form)-part+1, 0) {
					s.parts[form[i:i+part]] = true
				}
			}
		}
	}
	return s
}

// in reports whether a part of a secret is in text.
func (s *secrets) in(text string) bool {
	for _, form := range forms(text) {
		for i := range max(len(form)-part+1, 0) {
			if s.parts[form[i:i+part]] {
				return true
			}
		}
		for _, whole := range s.short {
			if strings.Contains(form, whole) {
				return true
			}
		}
	}
	return false
}

// redact returns what may be shown of a text that came back.
func (s *secrets) redact(text string) string {
	text = text[:min(len(text), 2*maxShown)]
	if s.in(text) {
		return redacted
	}
	if text = Line(text); len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}

// absent reports whether no link of an error's chain shows a secret, a quotation
// of what came back, or more than a line. The URL is no secret.
func (s *secrets) absent(err error, quotedURL string) bool {
	text := strings.ReplaceAll(err.Error(), quotedURL, "")
	if s.in(text) || strings.Contains(text, `"`) || text != Line(text) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap() == nil || s.absent(e.Unwrap(), quotedURL)
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(link error) bool { return !s.absent(link, quotedURL) })
	}
	return true
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

// tokens lists the tokens that an answer holds: all strings in fields of that
// name, except sentences about them.
func (a answer) tokens() (found []string) {
	var walk func(v any, token, certain bool)
	walk = func(v any, token, certain bool) {
		switch v := v.(type) {
		case string:
			if token && (certain || len(strings.Fields(v)) <= 3) {
				found = append(found, v)
			}
		case []any:
			for _, v := range v {
				walk(v, token, certain)
			}
		case map[string]any:
			for name, v := range v {
				name = strings.ToLower(name)
				walk(v, token || strings.Contains(name, "token") && name != "token_type", certain)
			}
		}
	}
	walk(a.fields["access_token"], true, true)
	walk(a.fields, false, false)
	return found
}

// claims lists the secrets that a JWT carries in clear, as Blink's do.
func claims(token string) (found []string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var fields map[string]any
	json.Unmarshal(payload, &fields) // what is no JWT has none
	for name, v := range fields {
		if value, ok := v.(string); ok && secretName.MatchString(name) {
			found = append(found, value)
		}
	}
	return found
}

var secretName = regexp.MustCompile(`(?i)secret|key|token|password`)

// forms returns the guises of a text. Its quoting is taken off round by round; what
// is left each time is listed without case and blanks, and as letters and digits
// only.
func forms(s string) (all []string) {
	for range rounds {
		s = strings.ToLower(s) // escapes, too
		visible := strings.Map(func(c rune) rune {
			if !unicode.IsGraphic(c) || unicode.IsSpace(c) || c == unicode.ReplacementChar {
				return -1
			}
			return c
		}, s)
		plain := strings.Map(func(c rune) rune {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
				return c
			}
			return -1
		}, s)
		all = append(all, visible, plain)
		decoded := decode(s)
		if decoded == s {
			break
		}
		s = decoded
	}
	return all
}

var escape = regexp.MustCompile(`(?:\\u[[:xdigit:]]{4})+|%u[[:xdigit:]]{4}|[%=][[:xdigit:]]{2}|\\x[[:xdigit:]]{2}|\\[0-7]{3}|=\s*\n|\\.`)

// decode takes off one layer of URL, JSON, Go, HTML or quoted-printable
// escapes, whichever are there.
func decode(s string) string {
	return html.UnescapeString(escape.ReplaceAllStringFunc(s, func(e string) string {
		switch {
		case e[0] == '=' && strings.TrimSpace(e) == "=": // a soft line break
			return ""
		case e[0] == '\\' && e[1] == 'u':
			var text string
			json.Unmarshal([]byte(`"`+e+`"`), &text) // pairs of surrogates, too
			return text
		case len(e) == 6: // %u
			n, _ := strconv.ParseUint(e[2:], 16, 16)
			return string(rune(n))
		case len(e) == 4 && e[1] == 'x':
			return octet(e[2:], 16)
		case len(e) == 4:
			return octet(e[1:], 8)
		case len(e) == 3:
			return octet(e[1:], 16)
		case strings.Contains("nrtbfv", e[1:]):
			return ""
		}
		return e[1:]
	}))
}

func octet(digits string, base int) string {
	n, _ := strconv.ParseUint(digits, base, 9)
	return string([]byte{byte(n)})
}
