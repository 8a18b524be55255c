package tokensource

// What a token endpoint answers: the token, how long it lives, when to come
// back. Providers differ in how they write it, and now and then write nonsense.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// A longer lifetime is taken for a mistake (milliseconds, another field): the
// longest that any of the providers documents is half an hour.
const maxLifetime = 24 * time.Hour

// parseAnswer returns the fields of a JSON object, or what the body is instead.
func parseAnswer(body []byte) (map[string]any, error) {
	var raw map[string]json.RawMessage
	err := json.Unmarshal(body, &raw)
	if err == nil && raw != nil {
		fields := make(map[string]any, len(raw))
		for name, value := range raw { // one by one: a number out of range loses itself only
			var v any
			if json.Unmarshal(value, &v) == nil {
				fields[name] = v
			}
		}
		return fields, nil
	}
	shape := "JSON of another kind"
	var syntax *json.SyntaxError
	switch trimmed := bytes.TrimSpace(body); {
	case len(trimmed) == 0:
		shape = "empty"
	case trimmed[0] == '<':
		shape = "an HTML page"
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(body)):
		shape = "JSON that ends too early"
	case syntax != nil:
		shape = "text"
	}
	return nil, fmt.Errorf("the answer is %s, not a JSON object: check BaseURL", shape)
}

// text returns the first of the named fields that is a non-empty string.
func text(fields map[string]any, names ...string) string {
	for _, name := range names {
		if s, _ := fields[name].(string); s != "" {
			return s
		}
	}
	return ""
}

func (r *tokenRequest) token(fields map[string]any, h http.Header, issued time.Time) (*oauth2.Token, error) {
	access, ok := fields["access_token"].(string)
	typ, _ := fields["token_type"].(string)
	switch {
	case !ok && fields["access_token"] != nil:
		return nil, errors.New("access_token in the answer is not a string")
	case access == "":
		return nil, errors.New("the answer has no access_token")
	case strings.ContainsFunc(access, notVisible):
		return nil, errors.New("access_token in the answer has characters that no header can carry")
	case strings.ContainsFunc(typ, notVisible):
		return nil, errors.New("token_type in the answer has characters that no header can carry")
	}
	life := r.lifetimeOf(fields, h, issued)
	tok := &oauth2.Token{AccessToken: access, TokenType: typ, Expiry: issued.Add(life), ExpiresIn: int64(life / time.Second)}
	if r.singleUse {
		tok.Expiry = issued
	}
	// What has a field of its own in oauth2.Token is not kept twice.
	delete(fields, "access_token")
	for k, v := range r.inherited {
		if fields[k] == nil {
			fields[k] = v
		}
	}
	return tok.WithExtra(fields), nil
}

func notVisible(c rune) bool { return c <= ' ' || c > '~' }

// lifetimeOf reads expires_in or expired_on; what is missing, unreadable or
// absurd gives the documented lifetime, so that no token is lost over it.
func (r *tokenRequest) lifetimeOf(fields map[string]any, h http.Header, issued time.Time) time.Duration {
	if life := parseSeconds(fields["expires_in"]); life > 0 {
		return life
	}
	on, err := time.Parse(time.RFC3339, text(fields, "expired_on"))
	if err != nil {
		return r.lifetime
	}
	// Both times are by the server's clock: ours may be wrong.
	date, err := http.ParseTime(h.Get("Date"))
	life := on.Sub(date)
	if err != nil {
		life = min(on.Sub(issued), r.lifetime)
	}
	if life <= 0 || life > maxLifetime {
		return r.lifetime
	}
	return life
}

// parseSeconds reads a number of seconds as providers write it: 3600, 3600.0,
// 1e3, "3600". It returns 0 for anything else, and for what is not within
// (0, maxLifetime].
func parseSeconds(v any) time.Duration {
	seconds, _ := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if !(seconds > 0 && seconds <= maxLifetime.Seconds()) { // NaN too
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// retryAfter reads the header in both its forms; a date counts from the
// answer's own Date, else from now. It returns 0 for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}
