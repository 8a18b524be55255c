package tokensource_test

// What the providers share: lifetimes, the HTTP client in use, how long a call
// may take. How exchanges fail stands in errors_test.go.

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// Row 13: server-clock expiry (skew-proof)
// Row 26: tolerant expires_in (`"3600"`, `3600.0`, `1e3`, `""`)
// Row 27: policy for a missing expiry
//
// golang/oauth2#239 (null), #279 (overflow), #484: an odd expires_in failed the
// whole token. ghinstallation#66: so did a clock that was off.
func TestLifetime(t *testing.T) {
	const date, hourAhead, hourBehind = bubbleStart, "Sat, 01 Jan 2000 01:00:00 GMT", "Fri, 31 Dec 1999 23:00:00 GMT"
	documented := time.Duration(0)
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
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			a := reply{body: `{"access_token": "tok"}`, header: map[string]string{"Date": c.date}}
			if c.fields != "" {
				a.body = `{"access_token": "tok", ` + c.fields + `}`
			}
			start := time.Now()
			src := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), newEndpoint(a).client())
			tok, err := src.Token()
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want == documented {
				want = x.lifetime
			}
			if tok.ExpiresIn != int64(want/time.Second) {
				t.Errorf("ExpiresIn is %d, want %v", tok.ExpiresIn, want)
			}
			if s, ok := src.(*tokensource.Flinks); ok && s.SingleUse() {
				want = 0
			}
			if got := tok.Expiry.Sub(start); got != want {
				t.Errorf("expires in %v, want %v", got, want)
			}
		})
	}
}

// A slow answer is older than it looks, and a monotonic reading would stand
// still while the machine is suspended.
func TestLifetimeCountsFromBeforeTheRequest(t *testing.T) {
	everyExchange(t, "slow answer", func(t *testing.T, x exchange) {
		start := time.Now()
		e := newEndpoint(reply{body: `{"access_token": "tok", "expires_in": 120}`, delay: 5 * time.Second, pause: 10 * time.Millisecond})
		tok, err := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client()).Token()
		if err != nil {
			t.Fatal(err)
		}
		if tok.Expiry.After(start.Add(2 * time.Minute)) {
			t.Errorf("expires %v after the request, want 2m at most", tok.Expiry.Sub(start))
		}
	})
	for _, x := range exchanges { // virtual time has no monotonic reading
		t.Run("wall clock/"+x.name, func(t *testing.T) {
			e := newEndpoint(reply{body: `{"access_token": "tok", "expires_in": 120}`})
			tok, err := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client()).Token()
			if err != nil || tok.Expiry != tok.Expiry.Round(0) {
				t.Errorf("expiry %v, error %v, want a time without a monotonic reading", tok.Expiry, err)
			}
		})
	}
}

// The provider's field, else the context's client, is used as a copy: the
// caller's own keeps its policy for redirects and its timeout.
func TestHTTPClient(t *testing.T) {
	creds := tokensource.StaticCredentials(testID, testSecret)
	everyExchange(t, "unchanged", func(t *testing.T, x exchange) {
		e := newEndpoint(reply{body: `{"access_token": "tok"}`})
		client := e.client()
		before := *client
		if _, err := x.source(exchangeBase, creds, client).Token(); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*client, before) {
			t.Errorf("the client became %+v, was %+v", *client, before)
		}
	})
	everyExchange(t, "context's", func(t *testing.T, x exchange) {
		field, inContext := newEndpoint(reply{body: `{"access_token": "field"}`}), newEndpoint(reply{body: `{"access_token": "context"}`})
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, inContext.client())
		for want, client := range map[string]*http.Client{"context": nil, "field": field.client()} {
			tok, err := x.source(exchangeBase, creds, client).TokenContext(ctx)
			if err != nil || tok.AccessToken != want {
				t.Errorf("token %v, %v, want %s", tok, err, want)
			}
		}
	})
}

// How long a call may take: the client's timeout, by default 15 s, and the
// caller's context, whatever the endpoint does.
func TestCallEnds(t *testing.T) {
	for _, c := range []struct {
		name              string
		answer            reply
		timeout, cancelAt time.Duration
		want              time.Duration
		is                error
	}{
		{"no answer, default timeout", reply{delay: time.Hour}, 0, 0, 15 * time.Second, context.DeadlineExceeded},
		{"no answer, the client's timeout", reply{delay: time.Hour}, 3 * time.Second, 0, 3 * time.Second, context.DeadlineExceeded},
		{"slow-drip body, default timeout", reply{body: strings.Repeat(" ", 100), pause: time.Second}, 0, 0, 15 * time.Second, nil},
		{"no answer, caller leaves", reply{delay: time.Hour}, 0, time.Second, time.Second, context.Canceled},
		{"slow-drip body, caller leaves", reply{body: strings.Repeat(" ", 100), pause: 300 * time.Millisecond}, 0, time.Second, time.Second, context.Canceled},
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancelAt > 0 {
				time.AfterFunc(c.cancelAt, cancel)
			}
			e := newEndpoint(c.answer)
			client := e.client()
			client.Timeout = c.timeout
			start := time.Now()
			src := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), client)
			_, err := src.TokenContext(ctx)
			if took := time.Since(start); took != c.want {
				t.Errorf("took %v, want %v", took, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v does not wrap %v", err, c.is)
			}
			want := wantError{temporary: true}
			want.Provider, want.Status = x.provider, int(e.opened.Load())*http.StatusOK
			checkFailure(t, e, src, err, want)
		})
	}
}
