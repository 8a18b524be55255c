package tokensource

// Blink (blinkpayment.co.uk): JSON keys in the request body, an absolute
// expiry in the answer, two generations of the API.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const (
	blinkBaseURL    = "https://secure.blinkpayment.co.uk"
	blinkPath       = "/api/pay/v1/tokens"
	blinkLegacyPath = "/api/v1/pay/token" // and /refresh below it

	// "Access token is expired after 30 minutes" (api-docs.blinkpayment.co.uk).
	blinkLifetime = 30 * time.Minute
)

// Blink gets tokens for the Blink payments API; each call is one request (two
// where a legacy refresh is refused). Wrap it in a [Cache]: Blink allows 60
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
}

// Token is TokenContext without a context.
func (b *Blink) Token() (*oauth2.Token, error) { return b.TokenContext(context.Background()) }

// TokenContext creates a token. Its lifetime is expired_on less the answer's
// own Date, so a wrong local clock does not matter; 30 minutes where the answer
// has no usable expiry. Errors are [*Error].
func (b *Blink) TokenContext(ctx context.Context) (*oauth2.Token, error) { return token(ctx, b) }

// Refresh exchanges an earlier token, which may have expired, for a new one. It
// creates one where the API has no refresh (Legacy is false) or refuses this
// one. [Cache] calls it by itself.
func (b *Blink) Refresh(ctx context.Context, earlier *oauth2.Token) (*oauth2.Token, error) {
	if !b.Legacy || earlier == nil || earlier.AccessToken == "" {
		return b.TokenContext(ctx)
	}
	u, err := b.endpoint()
	if err != nil {
		return nil, &Error{Provider: b.name(), Err: err}
	}
	r, err := b.post(map[string]string{"access_token": earlier.AccessToken})
	if err != nil {
		return nil, &Error{Provider: b.name(), Err: err}
	}
	r.provider, r.url, r.secrets = b.name(), u.JoinPath("refresh"), []string{earlier.AccessToken}
	// The answer to a refresh leaves this one out.
	if types := earlier.Extra("payment_types"); types != nil {
		r.inherited = map[string]any{"payment_types": types}
	}
	tok, err := r.send(ctx)
	if e := (*Error)(nil); errors.As(err, &e) && e.Status/100 == 4 && !e.Temporary() {
		return b.TokenContext(ctx)
	}
	return tok, err
}

func (b *Blink) name() string { return "blink" }

func (b *Blink) credentials() Credentials { return b.Credentials }

func (b *Blink) baseURL() string {
	if b.BaseURL == "" {
		return blinkBaseURL
	}
	return b.BaseURL
}

func (b *Blink) endpoint() (*url.URL, error) {
	if b.Legacy && b.options() != (blinkOptions{}) {
		return nil, errors.New("the legacy API takes no options: unset Legacy or the options")
	}
	if b.Legacy {
		return endpointURL(b.baseURL(), blinkLegacyPath)
	}
	return endpointURL(b.baseURL(), blinkPath)
}

type blinkOptions struct {
	SendBlinkReceipt        bool   `json:"send_blink_receipt,omitempty"`
	AddressPostcodeRequired bool   `json:"address_postcode_required,omitempty"`
	EnableMOTOPayments      bool   `json:"enable_moto_payments,omitempty"`
	ApplicationName         string `json:"application_name,omitempty"`
	ApplicationDescription  string `json:"application_description,omitempty"`
	SourceSite              string `json:"source_site,omitempty"`
}

func (b *Blink) options() blinkOptions {
	return blinkOptions{
		b.SendBlinkReceipt, b.AddressPostcodeRequired, b.EnableMOTOPayments,
		b.ApplicationName, b.ApplicationDescription, b.SourceSite,
	}
}

func (b *Blink) request(id, secret string) (*tokenRequest, error) {
	return b.post(struct {
		APIKey    string `json:"api_key"`
		SecretKey string `json:"secret_key"`
		blinkOptions
	}{id, secret, b.options()})
}

func (b *Blink) post(message any) (*tokenRequest, error) {
	body, err := json.Marshal(message)
	return &tokenRequest{
		client:   b.HTTPClient,
		header:   http.Header{"Content-Type": {"application/json"}},
		body:     body,
		lifetime: blinkLifetime,
	}, err
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
		switch v := field(name).(type) {
		case bool:
			return v
		case string: // the legacy API says "Yes"
			return strings.EqualFold(v, "yes")
		}
		return false
	}
	list := func(name string) (out []string) {
		switch v := field(name).(type) {
		case []any:
			for _, e := range v {
				if s, ok := e.(string); ok {
					out = append(out, s)
				}
			}
		case string: // the legacy API has a single currency
			if v != "" {
				out = []string{v}
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
