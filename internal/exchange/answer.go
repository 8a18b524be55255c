package exchange

// What a token endpoint answers: the token, how long it lives, what it refuses,
// when to come back. Providers differ in how they write it, and now and then
// write nonsense.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const (
	maxLifetime = 366 * 24 * time.Hour // a longer one is taken for a mistake
	maxKnown    = 24 * time.Hour       // and so is one beyond this, if the documented one is shorter

	htmlPage = "an HTML page"
)

// answer is the fields of a JSON object, or what the body is instead.
type answer struct {
	fields map[string]any
	shape  string // "" for an object
}

func parse(body []byte) answer {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
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
		return answer{fields: fields}
	}
	shape := "JSON of another kind"
	var syntax *json.SyntaxError
	switch {
	case len(body) == 0:
		shape = "empty"
	case body[0] == '<':
		shape = htmlPage
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(body)):
		shape = "JSON that ends too early"
	case syntax != nil:
		shape = "text"
	}
	return answer{shape: shape}
}

// text returns the first of the named fields that is a non-empty string.
func (a answer) text(names ...string) string {
	for _, name := range names {
		if s, _ := a.fields[name].(string); s != "" {
			return s
		}
	}
	return ""
}

// code is the provider's: of RFC 6749, of Okta, of Flinks.
func (a answer) code() string { return a.text("error", "errorCode", "FlinksCode") }

// token returns the token that the answer holds, or what is wrong with it.
func (r *Request) token(a answer, resp *http.Response, issued time.Time) (*oauth2.Token, *Fault) {
	status, code := resp.StatusCode, a.code()
	refusal := &Fault{Temporary: Temporary(status, code) || slices.Contains(r.RetryCodes, code)}
	switch {
	case status/100 != 2:
		refusal.RetryAfter = RetryAfter(resp.Header, issued)
		if a.shape == htmlPage && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
			refusal.Err = errors.New("the answer is an HTML page: a proxy or firewall in between refused the request, not the provider")
		}
		return nil, refusal
	case a.shape != "":
		return nil, &Fault{Temporary: true, Err: fmt.Errorf("the answer is %s, not a JSON object: check %s", a.shape, r.Setting)}
	case a.fields["success"] == false:
		refusal.Temporary = refusal.Temporary && code != "" // not an answer that could not be read
		return nil, refusal
	}
	tok, err := r.read(a.fields, resp.Header, issued)
	switch {
	case err == nil:
		return tok, nil
	case code != "":
		return nil, refusal
	}
	return nil, &Fault{Temporary: true, Err: err}
}

func (r *Request) read(fields map[string]any, h http.Header, issued time.Time) (*oauth2.Token, error) {
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
	life, err := r.lifetime(fields, h, issued)
	if err != nil {
		return nil, err
	}
	tok := &oauth2.Token{AccessToken: access, TokenType: typ, ExpiresIn: int64(life / time.Second)}
	if life > 0 {
		tok.Expiry = issued.Add(life)
	}
	if r.SingleUse {
		tok.Expiry = issued
	}
	extra := make(map[string]any, len(fields))
	for _, from := range []map[string]any{r.Inherited, fields} {
		for name, v := range from {
			if v != nil || extra[name] == nil {
				extra[name] = v
			}
		}
	}
	delete(extra, "access_token") // has a field of its own
	return tok.WithExtra(extra), nil
}

func notVisible(c rune) bool { return c <= ' ' || c > '~' }

// lifetime reads expires_in, else an absolute expiry. What is missing,
// unreadable or absurd gives the documented lifetime, so that no token is lost
// over it; 0 means that there is none.
func (r *Request) lifetime(fields map[string]any, h http.Header, issued time.Time) (time.Duration, error) {
	longest := maxLifetime
	if r.Lifetime > 0 {
		longest = max(r.Lifetime, maxKnown)
	}
	if life := seconds(fields["expires_in"]); life > 0 && life <= longest {
		return life, nil
	}
	for _, name := range []string{"expired_on", "expires_on", "expires_at"} {
		at, ok := moment(fields[name])
		if !ok {
			continue
		}
		// Both times are by the server's clock: this machine's may be wrong.
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			date = issued
		}
		life := at.Sub(date)
		switch {
		case life <= 0 && (err == nil || r.Lifetime == 0):
			return 0, fmt.Errorf("the token had expired when it was issued, by its %s: check the clocks", name)
		case life <= 0, r.Lifetime > 0 && life > r.Lifetime, life > longest:
			return r.Lifetime, nil
		}
		return life, nil
	}
	return r.Lifetime, nil
}

// seconds reads a number of seconds as providers write it: 3600, 3600.0, 1e3,
// "3600". It returns 0 for anything else.
func seconds(v any) time.Duration {
	n, _ := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if !(n > 0 && n < math.MaxInt64/float64(time.Second)) { // NaN too
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

// moment reads a time as providers write it: RFC 3339, also with a blank for
// the T, with a zone without a colon, without any (then UTC), and Unix seconds.
func moment(v any) (time.Time, bool) {
	if s, ok := v.(string); ok {
		s = strings.Replace(strings.TrimSpace(s), " ", "T", 1)
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
	}
	since := seconds(v)
	return time.Unix(0, int64(since)), since > 0
}

// RetryAfter reads the header in both its forms; a date counts from the
// answer's own Date, else from now. It returns 0 for none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
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
