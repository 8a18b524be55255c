package exchange

// What a token endpoint answers: the token, how long it lives, what it refuses,
// when to come back. Providers differ in how they write it, and now and then
// write nonsense.

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	if len(body) > maxAnswer {
		return answer{shape: "larger than 1 MiB"}
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	var a answer
	err := json.Unmarshal(body, &a.fields) // a number out of range loses itself only
	syntax, _ := errors.AsType[*json.SyntaxError](err)
	switch {
	case a.fields != nil:
	case len(body) == 0:
		a.shape = "empty"
	case body[0] == '<':
		a.shape = htmlPage
	case syntax != nil && syntax.Offset >= int64(len(body)):
		a.shape = "JSON that ends too early"
	default:
		a.shape = "not a JSON object"
	}
	return a
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
	success := status/100 == 2
	if success && a.fields["success"] != false {
		tok, err := r.read(a, resp.Header, issued)
		if err == nil {
			return tok, nil
		}
		if code == "" {
			return nil, &Fault{Temporary: true, Err: err}
		}
	}
	refusal := &Fault{RetryAfter: RetryAfter(resp.Header, issued)}
	unexplained := success && code == ""
	refusal.Temporary = slices.Contains(r.RetryCodes, code) || Temporary(status, code) && !unexplained
	if a.shape == htmlPage && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		refusal.Err = errors.New("the answer is an HTML page: a proxy or firewall in between refused the request, not the provider")
	}
	return nil, refusal
}

func (r *Request) read(a answer, h http.Header, issued time.Time) (*oauth2.Token, error) {
	access, _ := a.fields["access_token"].(string)
	typ, _ := a.fields["token_type"].(string)
	switch {
	case a.shape != "":
		return nil, fmt.Errorf("the answer is %s: check %s", a.shape, r.Setting)
	case access == "":
		return nil, errors.New("the answer has no access_token or one that is not a string")
	case strings.ContainsFunc(access+typ, notVisible):
		return nil, errors.New("access_token or token_type in the answer has characters that no header can carry")
	}
	life, err := r.lifetime(a.fields, h, issued)
	if err != nil {
		return nil, err
	}
	tok := &oauth2.Token{AccessToken: access, TokenType: typ, ExpiresIn: int64(life / time.Second)}
	switch {
	case r.SingleUse:
		tok.Expiry = issued
	case life > 0:
		tok.Expiry = issued.Add(life)
	}
	extra := maps.Clone(a.fields)
	delete(extra, "access_token") // has a field of its own
	for name, v := range r.Inherited {
		if extra[name] == nil {
			extra[name] = v
		}
	}
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
		case 0 < life && life <= cmp.Or(r.Lifetime, maxLifetime):
			return life, nil
		case life <= 0 && (err == nil || r.Lifetime == 0):
			return 0, fmt.Errorf("the token had expired when it was issued, by its %s: check the clocks", name)
		}
		break
	}
	return r.Lifetime, nil
}

// seconds reads a number of seconds as providers write it: 3600, 3600.0, 1e3,
// "3600". Too many, such as a time in milliseconds, are as many as a Duration
// holds. It returns 0 for anything else.
func seconds(v any) time.Duration {
	n, _ := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if !(n > 0) { // NaN too
		return 0
	}
	return time.Duration(min(n, float64(math.MaxInt64/time.Second)) * float64(time.Second))
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
	v := h.Get("Retry-After")
	at, err := http.ParseTime(v)
	if err != nil {
		return seconds(v)
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}
