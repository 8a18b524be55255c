package exchange

// What endpoints write, and what is read of it: lifetimes, times, nonsense.

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var issued = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// golang/oauth2#239 (null), #279 (overflow), #484: an odd expires_in failed the
// whole token. ghinstallation#66: so did a clock that was off.
func TestLifetime(t *testing.T) {
	const date, hourAhead, hourBehind = "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2000 01:00:00 GMT", "Fri, 31 Dec 1999 23:00:00 GMT"
	const documented, expired = 30 * time.Minute, time.Duration(-1)
	for _, c := range []struct {
		name, fields, date string
		want               time.Duration
	}{
		{"no expiry", ``, date, documented},
		{"no expiry, no Date", ``, "", documented},
		{"expires_in", `"expires_in": 120`, date, 2 * time.Minute},
		{"expires_in of less than a second", `"expires_in": 0.25`, date, 250 * time.Millisecond},
		{"expires_in with a fraction", `"expires_in": 299.5`, date, 299*time.Second + 500*time.Millisecond},
		{"expires_in 120.0", `"expires_in": 120.0`, date, 2 * time.Minute},
		{"expires_in 1.2e2", `"expires_in": 1.2e2`, date, 2 * time.Minute},
		{"expires_in is a string", `"expires_in": "120"`, date, 2 * time.Minute},
		{"expires_in is a string with a fraction", `"expires_in": "120.0"`, date, 2 * time.Minute},
		{"expires_in is a string in blanks", `"expires_in": " 120 "`, date, 2 * time.Minute},
		{"expires_in is a day", `"expires_in": 86400`, date, 24 * time.Hour},
		{"expires_in is over a day", `"expires_in": 86401`, date, documented},
		{"expires_in is empty", `"expires_in": ""`, date, documented},
		{"expires_in is null", `"expires_in": null`, date, documented},
		{"expires_in is 0", `"expires_in": 0`, date, documented},
		{"expires_in is negative", `"expires_in": -5`, date, documented},
		{"expires_in is a negative string", `"expires_in": "-5"`, date, documented},
		{"expires_in is NaN", `"expires_in": "NaN"`, date, documented},
		{"expires_in is infinite", `"expires_in": "Inf"`, date, documented},
		{"expires_in is a word", `"expires_in": "soon"`, date, documented},
		{"expires_in overflows 32 bits", `"expires_in": 4294967297`, date, documented},
		{"expires_in overflows 64 bits", `"expires_in": 18446744073709551617`, date, documented},
		{"expires_in overflows a float", `"expires_in": 1e999`, date, documented},
		{"expires_in is a huge string", `"expires_in": "1e999"`, date, documented},
		{"expires_in is of another type", `"expires_in": [120]`, date, documented},
		{"expired_on", `"expired_on": "2000-01-01T00:02:00Z"`, date, 2 * time.Minute},
		{"expired_on with a fraction", `"expired_on": "2000-01-01T00:02:00.500Z"`, date, 2*time.Minute + 500*time.Millisecond},
		{"expired_on with an offset", `"expired_on": "2000-01-01T02:02:00+02:00"`, date, 2 * time.Minute},
		{"expired_on in the far future", `"expired_on": "9999-12-31T23:59:59Z"`, date, documented},
		{"expired_on is empty", `"expired_on": ""`, date, documented},
		{"expired_on is null", `"expired_on": null`, date, documented},
		{"expired_on is a Unix time", `"expired_on": 946684920`, date, 2 * time.Minute},
		{"expired_on is a Unix time in a string", `"expired_on": "946684920"`, date, 2 * time.Minute},
		{"expired_on without a zone", `"expired_on": "2000-01-01 00:02:00"`, date, 2 * time.Minute},
		{"expires_in before expired_on", `"expires_in": 120, "expired_on": "2000-01-01T00:04:00Z"`, date, 2 * time.Minute},
		{"expired_on where expires_in is unusable", `"expires_in": "", "expired_on": "2000-01-01T00:02:00Z"`, date, 2 * time.Minute},
		{"server's clock an hour ahead", `"expired_on": "2000-01-01T01:02:00Z"`, hourAhead, 2 * time.Minute},
		{"server's clock an hour behind", `"expired_on": "1999-12-31T23:02:00Z"`, hourBehind, 2 * time.Minute},
		{"no Date", `"expired_on": "2000-01-01T00:02:00Z"`, "", 2 * time.Minute},
		{"unreadable Date", `"expired_on": "2000-01-01T00:02:00Z"`, "yesterday", 2 * time.Minute},
		{"no Date, server's clock ahead", `"expired_on": "2000-01-01T01:02:00Z"`, "", documented},
		{"no Date, server's clock behind", `"expired_on": "1999-12-31T23:02:00Z"`, "", documented},
		{"expired_on after a Date two hours behind", `"expired_on": "2000-01-01T00:30:00Z"`, "Fri, 31 Dec 1999 22:00:00 GMT", documented},
		{"expired_on in the past", `"expired_on": "1999-12-31T23:59:00Z"`, date, expired},
		{"expired_on now", `"expired_on": "2000-01-01T00:00:00Z"`, date, expired},
		{"expired_on, zone without a colon", `"expired_on": "2000-01-01T02:02:00+0200"`, date, 2 * time.Minute},
		{"expired_on, T and no zone", `"expired_on": "2000-01-01T00:02:00"`, date, 2 * time.Minute},
		{"expired_on, blanks around", `"expired_on": " 2000-01-01T00:02:00Z "`, date, 2 * time.Minute},
		{"expired_on is a date", `"expired_on": "2000-01-01"`, date, documented},
		{"expires_on in Unix seconds", `"expires_on": "946684920"`, date, 2 * time.Minute},
		{"expires_at", `"expires_at": "2000-01-01T00:02:00Z"`, date, 2 * time.Minute},
		{"expires_at where expired_on is unusable", `"expired_on": "soon", "expires_at": 946684920.5`, date, 2*time.Minute + 500*time.Millisecond},
		{"Unix milliseconds", `"expires_at": 946684920000`, date, documented},
	} {
		t.Run(c.name, func(t *testing.T) {
			fields := parse([]byte("{" + c.fields + "}")).fields
			life, err := (&Request{Lifetime: documented}).lifetime(fields, http.Header{"Date": {c.date}}, issued)
			if c.want == expired {
				if err == nil || !strings.Contains(err.Error(), "expired_on") {
					t.Errorf("lifetime %v, error %v, want one that names expired_on", life, err)
				}
			} else if err != nil || life != c.want {
				t.Errorf("lifetime %v, error %v, want %v", life, err, c.want)
			}
		})
	}
}

// Without a documented lifetime up to a year is plausible, with one a day or as
// long as is documented; nothing readable means no expiry then.
func TestPlausibleLifetime(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name       string
		documented time.Duration
		fields     string
		want       time.Duration
	}{
		{"a week, none documented", 0, `"expires_in": 604800`, 7 * day},
		{"366 days, none documented", 0, `"expires_in": 31622400`, 366 * day},
		{"milliseconds of half a day, none documented", 0, `"expires_in": 43200000`, 0},
		{"nothing, none documented", 0, ``, 0},
		{"unreadable, none documented", 0, `"expires_in": "soon"`, 0},
		{"an absolute week, none documented", 0, `"expires_at": "2000-01-08T00:00:00Z"`, 7 * day},
		{"an absolute century, none documented", 0, `"expires_at": "2100-01-08T00:00:00Z"`, 0},
		{"a week, two are documented", 14 * day, `"expires_in": 604800`, 7 * day},
		{"three weeks, two are documented", 14 * day, `"expires_in": 1814400`, 14 * day},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(t, endpointURL, saying(200, `{"access_token": "tok"`+strings.TrimSuffix(", "+c.fields, ", ")+`}`))
			r.Lifetime = c.documented
			start := time.Now()
			if c.fields != "" && strings.Contains(c.fields, "expires_at") {
				life, err := r.lifetime(parse([]byte("{"+c.fields+"}")).fields, http.Header{}, issued)
				if err != nil || life != c.want {
					t.Errorf("lifetime %v, error %v, want %v", life, err, c.want)
				}
				return
			}
			tok, f := r.Do(t.Context())
			if f != nil {
				t.Fatal(f.Err)
			}
			if tok.ExpiresIn != int64(c.want/time.Second) || tok.Expiry.IsZero() != (c.want == 0) {
				t.Errorf("ExpiresIn %d, Expiry %v, want %v", tok.ExpiresIn, tok.Expiry, c.want)
			}
			if c.want > 0 && (tok.Expiry.Sub(start.Round(0)) < c.want || tok.Expiry != tok.Expiry.Round(0)) {
				t.Errorf("Expiry is %v, want %v later, by the wall clock", tok.Expiry, c.want)
			}
		})
	}
	r := &Request{}
	if life, err := r.lifetime(map[string]any{"expires_at": "1999-01-01T00:00:00Z"}, http.Header{}, issued); err == nil {
		t.Errorf("a token that had expired lives %v", life)
	}
}

// What an answer means beyond its status.
func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		name      string
		status    int
		body      string
		code      string
		refused   bool // Err is nil
		temporary bool
		says      string
	}{
		{"byte order mark", 200, "\ufeff{\"access_token\": \"tok\"}", "", false, false, ""},
		{"success false", 200, `{"success": false, "message": "no"}`, "", true, false, ""},
		{"success false beside a token", 200, `{"success": false, "access_token": "tok"}`, "", true, false, ""},
		{"FlinksCode", 401, `{"FlinksCode": "INVALID_LOGIN", "Message": "no"}`, "INVALID_LOGIN", true, false, ""},
		{"a code that asks for patience, 401", 401, `{"FlinksCode": "RETRY_LATER", "Message": "no"}`, "RETRY_LATER", true, true, ""},
		{"a code that asks for patience, 200", 200, `{"FlinksCode": "RETRY_LATER", "Message": "no"}`, "RETRY_LATER", true, true, ""},
		{"the same code, if it is not among them", 403, `{"FlinksCode": "RETRY_NOW", "Message": "no"}`, "RETRY_NOW", true, false, ""},
		{"temporarily_unavailable", 400, `{"error": "temporarily_unavailable", "message": "no"}`, "temporarily_unavailable", true, true, ""},
		{"slow_down", 400, `{"error": "slow_down", "message": "no"}`, "slow_down", true, true, ""},
		{"invalid_client with status 500", 500, `{"error": "invalid_client", "message": "no"}`, "invalid_client", true, false, ""},
		{"500", 500, `{"message": "no"}`, "", true, true, ""},
		{"501", 501, `{"message": "no"}`, "", true, false, ""},
		{"505", 505, `{"message": "no"}`, "", true, false, ""},
		{"407", 407, `{"message": "no"}`, "", true, false, ""},
		{"401 of a proxy", 401, "\r\n<html>sign in</html>", "", false, false, "HTML page: a proxy or firewall"},
		{"403 of a firewall", 403, "<!DOCTYPE html>", "", false, false, "HTML page: a proxy or firewall"},
		{"502 of a proxy", 502, "<html>", "", true, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(t, endpointURL, saying(c.status, c.body))
			r.RetryCodes = []string{"TOO_MANY_REQUESTS", "RETRY_LATER"}
			tok, f := r.Do(t.Context())
			switch {
			case c.code == "" && !c.refused && c.says == "":
				if f != nil || tok.AccessToken != "tok" {
					t.Errorf("token %v, fault %+v", tok, f)
				}
			case tok != nil || f.Status != c.status || f.Code != c.code || (f.Err == nil) != c.refused || f.Temporary != c.temporary:
				t.Errorf("token %v, fault %+v", tok, f)
			case f.Err != nil && !strings.Contains(f.Err.Error(), c.says), strings.Contains(c.body, `"no"`) && f.Description != "no":
				t.Errorf("fault %+v, want %q", f, c.says)
			}
		})
	}
}

// FuzzAnswer: whatever an endpoint answers there is a usable token or a fault of
// one line, never both.
func FuzzAnswer(f *testing.F) {
	files, err := filepath.Glob("../../testdata/*_*.http")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden messages", err)
	}
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := bytes.Cut(message, []byte("\n\n"))
		f.Add(200, body)
		f.Add(400, body)
	}
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `{`, `{}{}`, `<html>`, "\ufeff{}", `{"access_token": 1}`, `{"access_token": "a\u0000b"}`, `{"access_token": "a", "token_type": "é"}`,
		`{"error": "` + testSecret + `", "message": "\u001b[31m` + testSecret + "\xff" + `"}`, `{"access_token": "a", "expires_in": 1e999}`,
	} {
		f.Add(200, []byte(body))
		f.Add(429, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 200 + int(uint(status)%400)
		tok, fault := newRequest(t, endpointURL, saying(status, string(body))).Do(t.Context())
		if fault == nil {
			if status/100 != 2 || tok.AccessToken == "" || strings.ContainsFunc(tok.AccessToken+tok.TokenType, notVisible) || tok.ExpiresIn < 0 {
				t.Errorf("status %d, token %#v", status, tok)
			}
			return
		}
		wantHidden(t, fault, testSecret)
		if tok != nil || fault.Status != status || len(fault.Code+fault.Description) > 2*(maxShown+3) || !utf8.ValidString(fault.Code+fault.Description) {
			t.Errorf("token %v, fault %+v", tok, fault)
		}
	})
}

func FuzzLifetime(f *testing.F) {
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
	f.Fuzz(func(t *testing.T, in, on, date string) {
		fields := map[string]any{"expired_on": on}
		var expiresIn any
		if json.Unmarshal([]byte(in), &expiresIn) != nil {
			expiresIn = in
		}
		fields["expires_in"] = expiresIn
		documented := 299 * time.Second
		life, err := (&Request{Lifetime: documented}).lifetime(fields, http.Header{"Date": {date}}, issued)
		if err != nil {
			if _, ok := moment(on); !ok || life != 0 {
				t.Errorf("%v of %q, %q, %q: %v", life, in, on, date, err)
			}
			return
		}
		if life <= 0 || life > maxKnown {
			t.Errorf("lifetime %v of %q, %q, %q", life, in, on, date)
		}
		if n, err := strconv.Atoi(in); err == nil && 0 < n && n <= 86400 && life != time.Duration(n)*time.Second {
			t.Errorf("lifetime %v of %d s", life, n)
		}
		if seconds(expiresIn) == 0 && life > documented {
			t.Errorf("%q gives %v, more than documented", on, life)
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
		wait := RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if wait < 0 {
			t.Errorf("%q at %q gives %v", value, date, wait)
		}
		if n, err := strconv.ParseUint(value, 10, 32); err == nil && wait != time.Duration(n)*time.Second {
			t.Errorf("%q gives %v", value, wait)
		}
	})
}
