package tokensource

// Blink (blinkpayment.co.uk): JSON keys in the request body, an absolute
// expiry in the answer, two generations of the API.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource/internal/exchange"
)

const (
	blinkBaseURL    = "https://secure.blinkpayment.co.uk"
	blinkPath       = "/api/pay/v1/tokens"
	blinkLegacyPath = "/api/v1/pay/token" // and /refresh below it

	// "Access token is expired after 30 minutes" (api-docs.blinkpayment.co.uk).
	blinkLifetime = 30 * time.Minute
)

// Blink gets tokens for the Blink payments API; each call is one request (two
// if a legacy refresh is refused). Wrap it in a [Cache]: Blink allows 60
// requests a minute for everything.
//
// A Blink access token carries the merchant's secret key in clear: keep it as
// you keep the key.
type Blink struct {
	Credentials Credentials // api_key and secret_key; required
	BaseURL     string      // default https://secure.blinkpayment.co.uk, for test and live alike
	Legacy      bool        // the /api/v1/pay/token endpoints, whose tokens are refreshed; they take none of the options below

	// Options are fixed into the token; see Blink's reference for each.
	SendBlinkReceipt, AddressPostcodeRequired, EnableMOTOPayments bool
	ApplicationName, ApplicationDescription, SourceSite           string

	// HTTPClient defaults to the context's oauth2.HTTPClient, else to one with
	// a timeout of 15 s. It is copied; redirects are never followed.
	HTTPClient *http.Client

	keys atomic.Uint64 // fingerprint of those that the last legacy token was created with
}

// Endpoint returns the endpoint of this configuration.
func (b *Blink) Endpoint() *Endpoint {
	options := map[string]any{
		"send_blink_receipt":        b.SendBlinkReceipt,
		"address_postcode_required": b.AddressPostcodeRequired,
		"enable_moto_payments":      b.EnableMOTOPayments,
		"application_name":          b.ApplicationName,
		"application_description":   b.ApplicationDescription,
		"source_site":               b.SourceSite,
	}
	maps.DeleteFunc(options, func(_ string, v any) bool { return v == false || v == "" })
	e := &Endpoint{
		Provider:    "blink",
		URL:         below(cmp.Or(b.BaseURL, blinkBaseURL), blinkPath),
		Credentials: b.Credentials,
		IDField:     "api_key",
		SecretField: "secret_key",
		JSON:        options,
		Lifetime:    blinkLifetime,
		HTTPClient:  b.HTTPClient,
		setting:     "BaseURL",
	}
	if b.Legacy {
		e.URL = below(cmp.Or(b.BaseURL, blinkBaseURL), blinkLegacyPath)
	}
	if b.Legacy && len(options) > 0 {
		e.mistake = errors.New("the legacy API takes no options: unset Legacy or the options")
	}
	return e
}

// Token is TokenContext without a context.
func (b *Blink) Token() (*oauth2.Token, error) { return b.TokenContext(context.Background()) }

// TokenContext creates a token. Its lifetime is expired_on less the answer's
// own Date, so a wrong local clock does not matter; 30 minutes if the answer
// has no usable expiry, and never more. Errors are [*Error].
func (b *Blink) TokenContext(ctx context.Context) (*oauth2.Token, error) { return b.Refresh(ctx, nil) }

// Refresh exchanges an earlier token, which may have expired, for a new one. It
// creates one if the API has no refresh (Legacy is false) or refuses this one,
// and if the keys have changed. [Cache] calls it by itself.
func (b *Blink) Refresh(ctx context.Context, earlier *oauth2.Token) (*oauth2.Token, error) {
	e := b.Endpoint()
	creation, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	keys, last := fingerprintOf(creation), b.keys.Load()
	rotated := last != 0 && last != keys // a refresh would go on with the old ones
	if b.Legacy && earlier != nil && earlier.AccessToken != "" && !rotated {
		creation.Secrets = append(creation.Secrets, earlier.AccessToken) // either answer might quote it
		tok, err := e.send(ctx, blinkRefresh(creation, earlier))
		// An outage, a redirect and no answer at all are no reason to create one.
		if f, ok := errors.AsType[*Error](err); !ok || f.Status == 0 || f.Status/100 == 3 || f.Temporary() {
			return tok, err
		}
	}
	tok, err := e.send(ctx, creation)
	if err == nil {
		b.keys.Store(keys)
	}
	return tok, err
}

// blinkRefresh is the refresh of a token, beside the request that would create
// another. The earlier token is all the credentials there are.
func blinkRefresh(creation *exchange.Request, earlier *oauth2.Token) *exchange.Request {
	r := *creation
	r.URL = r.URL.JoinPath("refresh")
	r.Body, _ = json.Marshal(map[string]string{"access_token": earlier.AccessToken}) // a string: no error
	// The answer to a refresh leaves this one out.
	r.Inherited = map[string]any{"payment_types": earlier.Extra("payment_types")}
	return &r
}

// BlinkDetails is what Blink says about the merchant along with a token.
type BlinkDetails struct {
	PaymentTypes, Currencies                                                        []string
	PaymentAPIStatus, SendBlinkReceipt, EnableMOTOPayments, AddressPostcodeRequired bool
}

// BlinkDetailsOf reads the details from a token of either generation of the
// API. It reports false for a token that carries none of them. The raw fields
// stay in tok.Extra.
func BlinkDetailsOf(tok *oauth2.Token) (BlinkDetails, bool) {
	if tok == nil {
		return BlinkDetails{}, false
	}
	found := false
	field := func(name string) any {
		v := tok.Extra(name)
		found = found || v != nil && v != ""
		return v
	}
	yes := func(name string) bool {
		v := field(name)
		s, _ := v.(string)
		return v == true || strings.EqualFold(s, "yes") // the legacy API says "Yes"
	}
	list := func(name string) (out []string) {
		values, ok := field(name).([]any)
		if !ok {
			values = []any{field(name)} // the legacy API has a single currency
		}
		for _, v := range values {
			if s, _ := v.(string); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	d := BlinkDetails{
		PaymentTypes:            list("payment_types"),
		Currencies:              append(list("currencies"), list("currency")...),
		PaymentAPIStatus:        yes("payment_api_status"),
		SendBlinkReceipt:        yes("send_blink_receipt"),
		EnableMOTOPayments:      yes("enable_moto_payments"),
		AddressPostcodeRequired: yes("address_postcode_required"),
	}
	return d, found
}
