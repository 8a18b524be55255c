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
