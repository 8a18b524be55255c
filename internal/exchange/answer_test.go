package exchange

// Fuzz targets: whatever an endpoint writes gives a sensible time.

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

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
	issued := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
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
