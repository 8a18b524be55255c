package tokensource

// Fuzz targets: whatever an endpoint answers there is a usable token or a
// proper error, never both, never a panic.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/oauth2"
)

const fuzzID, fuzzSecret = "fuzz-id-3f21", "fuzz-secret-77aa"

// fixedAnswer is a RoundTripper that always answers alike.
type fixedAnswer struct {
	status int
	header http.Header
	body   []byte
}

func (a fixedAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: req}, nil
}

func FuzzAnswer(f *testing.F) {
	files, err := filepath.Glob("testdata/*_*.http")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden messages", err)
	}
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := bytes.Cut(message, []byte("\n\n"))
		for _, status := range []int{200, 201, 400, 401} {
			f.Add(status, body)
		}
	}
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `{`, `{}{}`, `<html>`, `{"access_token": 1}`, `{"access_token": "a\u0000b"}`, `{"access_token": "a", "token_type": "é"}`,
		`{"error": "` + fuzzSecret + `", "message": "\u001b[31m` + fuzzID + "\xff" + `"}`, `{"access_token": "a", "expires_in": 1e999}`,
	} {
		f.Add(200, []byte(body))
		f.Add(429, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + int(uint(status)%400)
		client := &http.Client{Transport: fixedAnswer{status, http.Header{}, body}}
		creds := StaticCredentials(fuzzID, fuzzSecret)
		for _, p := range []provider{
			&Blink{Credentials: creds, HTTPClient: client},
			&Flinks{Credentials: creds, HTTPClient: client, BaseURL: "flinks.example"},
			&Blackhawk{Credentials: creds, HTTPClient: client, BaseURL: "bhn.example"},
		} {
			start := time.Now()
			tok, err := p.request().send(t.Context())
			if err != nil {
				checkFuzzedError(t, status, tok, err)
				continue
			}
			if status/100 != 2 || tok.AccessToken == "" || strings.ContainsFunc(tok.AccessToken+tok.TokenType, notVisible) {
				t.Errorf("status %d, token %q of type %q", status, tok.AccessToken, tok.TokenType)
			}
			if life := tok.Expiry.Sub(start.Round(0)); life < 0 || life > maxLifetime+time.Minute || tok.ExpiresIn < 0 {
				t.Errorf("lifetime %v, ExpiresIn %d", life, tok.ExpiresIn)
			}
			if _, isBlink := p.(*Blink); isBlink {
				BlinkDetailsOf(tok)
			}
		}
	})
}

func checkFuzzedError(t *testing.T, status int, tok *oauth2.Token, err error) {
	var e *Error
	var re *oauth2.RetrieveError
	if tok != nil || !errors.As(err, &e) || e.Status != status || !errors.As(err, &re) {
		t.Fatalf("token %v, error %#v", tok, err)
	}
	text := err.Error()
	if len(text) > 1000 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("no line for a log: %q", text)
	}
	if strings.Contains(text, fuzzID) || strings.Contains(text, fuzzSecret) {
		t.Errorf("secret in %q", text)
	}
}

func FuzzExpiry(f *testing.F) {
	const date = "Sat, 01 Jan 2000 00:00:00 GMT"
	for _, in := range []string{
		`299`, `"3600"`, `3600.0`, `1e3`, `""`, `null`, `0`, `-5`, `"NaN"`, `"-Inf"`, `"0x1p4"`, `1e-300`, `"1e999"`, `86400`, `86400.000001`,
		`9223372036854775807`, `9223372037`, `[]`, `{}`, `true`, `"` + strings.Repeat("9", 400) + `"`,
	} {
		f.Add(in, "", date)
	}
	for _, on := range []string{
		"2000-01-01T00:30:00Z", "2000-01-01T00:30:00.5Z", "2000-01-01T00:30:00+14:00", "1999-12-31T23:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1722349318", "2000-01-01",
	} {
		f.Add(`null`, on, date)
		f.Add(`null`, on, "")
	}
	issued := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, in, on, date string) {
		fields := map[string]any{"expired_on": on}
		var expiresIn any
		if json.Unmarshal([]byte(in), &expiresIn) != nil {
			expiresIn = in
		}
		fields["expires_in"] = expiresIn
		documented := 299 * time.Second
		r := tokenRequest{lifetime: documented}
		life := r.lifetimeOf(fields, http.Header{"Date": {date}}, issued)
		if life <= 0 || life > maxLifetime {
			t.Errorf("lifetime %v of %q, %q, %q", life, in, on, date)
		}
		if n, err := strconv.Atoi(in); err == nil && 0 < n && n <= 86400 && life != time.Duration(n)*time.Second {
			t.Errorf("lifetime %v of %d s", life, n)
		}
		if _, err := http.ParseTime(date); err != nil && parseSeconds(expiresIn) == 0 && life > documented {
			t.Errorf("without a Date %q gives %v, more than documented", on, life)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	const date = "Sat, 01 Jan 2000 00:00:00 GMT"
	for _, v := range []string{
		"", "0", "7", " 7 ", "-7", "+7", "7.5", "soon", "18446744073709551615", "99999999999999999999", "9223372037",
		"Sat, 01 Jan 2000 00:00:30 GMT", "Saturday, 01-Jan-00 00:00:30 GMT", "Sat Jan  1 00:00:30 2000", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(v, date)
		f.Add(v, "")
		f.Add(v, "Mon, 01 Jan 0001 00:00:00 GMT")
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		wait := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if wait < 0 {
			t.Errorf("%q at %q gives %v", value, date, wait)
		}
		if n, err := strconv.ParseUint(value, 10, 32); err == nil && wait != time.Duration(n)*time.Second {
			t.Errorf("%q gives %v", value, wait)
		}
	})
}
