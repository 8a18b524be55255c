package tokensource_test

// Blink's wire, both generations: what is sent, what is read, when a refresh
// gives way to a new token.

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// The documents' sample keys.
var (
	blinkKeys       = tokensource.StaticCredentials("eff458c623bba928a1a211521a7e38433bdf68780d0d8a16e2502f43cca322bc", "6310e48bdd0e4381459a62b46d2c4fd6e8ab65a2a4d5205c6c3ddebfbbaebbf8")
	blinkLegacyKeys = tokensource.StaticCredentials("49f98f211008be298aaa244...", "44b51da04a1ff0caa73afd...")
)

// Documented are 201 for one generation and 200 for the other: both are taken
// from either. Blink's sample is from 2024, the clock says 2000: what counts is
// expired_on less Date.
func TestBlinkGolden(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusCreated} {
		inBubble(t, fmt.Sprintf("current, %d", status), func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blink_response.http", status))
			tok, err := (&tokensource.Blink{
				Credentials:             blinkKeys,
				SendBlinkReceipt:        true,
				AddressPostcodeRequired: true,
				EnableMOTOPayments:      true,
				ApplicationName:         "Blink API DOC Demo",
				ApplicationDescription:  "Live Demo examples from Blink Payment Doc site - Take payments through, card, open banking and direct debits.",
				SourceSite:              "api-docs.blinkpayment.co.uk",
				HTTPClient:              e.client(),
			}).Token()
			checkToken(t, tok, err, "blink_response.http", "", time.Now().Add(30*time.Minute))
			checkRequest(t, e, "blink_request.http")
			checkDetails(t, tok, tokensource.BlinkDetails{
				PaymentTypes: []string{"credit-card", "direct-debit", "open-banking"}, Currencies: []string{"GBP"},
				PaymentAPIStatus: true, SendBlinkReceipt: true, EnableMOTOPayments: true, AddressPostcodeRequired: true,
			})
		})
		inBubble(t, fmt.Sprintf("legacy, %d", status), func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blink_legacy_response.http", status))
			tok, err := (&tokensource.Blink{Credentials: blinkLegacyKeys, Legacy: true, HTTPClient: e.client()}).Token()
			checkToken(t, tok, err, "blink_legacy_response.http", "", time.Now().Add(30*time.Minute))
			checkRequest(t, e, "blink_legacy_request.http")
			checkDetails(t, tok, tokensource.BlinkDetails{
				PaymentTypes: []string{"credit-card", "open-banking", "direct-debit"}, Currencies: []string{"GBP"}, SendBlinkReceipt: true,
			})
		})
		inBubble(t, fmt.Sprintf("legacy refresh, %d", status), func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blink_legacy_refresh_response.http", status))
			tok, err := (&tokensource.Blink{Credentials: blinkLegacyKeys, Legacy: true, HTTPClient: e.client()}).Refresh(t.Context(), earlierBlinkToken())
			checkToken(t, tok, err, "blink_legacy_refresh_response.http", "", time.Now().Add(30*time.Minute))
			checkRequest(t, e, "blink_legacy_refresh_request.http")
			// The answer to a refresh has no payment_types: they stay the earlier token's.
			checkDetails(t, tok, tokensource.BlinkDetails{
				PaymentTypes: []string{"credit-card"}, Currencies: []string{"GBP"}, SendBlinkReceipt: true,
			})
		})
	}
}

// earlierBlinkToken is the sample of a legacy token, long expired.
func earlierBlinkToken() *oauth2.Token {
	return (&oauth2.Token{
		AccessToken: "eyJ0eXAiOiJKV1QiLCJhbG...",
		Expiry:      time.Now().Add(-24 * time.Hour),
	}).WithExtra(map[string]any{"payment_types": []any{"credit-card"}, "currency": "EUR"})
}

func checkDetails(t *testing.T, tok *oauth2.Token, want tokensource.BlinkDetails) {
	t.Helper()
	if got, ok := tokensource.BlinkDetailsOf(tok); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("details are %+v, %v, want %+v", got, ok, want)
	}
}

// Each option goes out under its documented name, and only if it is set: they
// are fixed into the token.
func TestBlinkOptions(t *testing.T) {
	for field, value := range map[string]any{
		"send_blink_receipt":        true,
		"address_postcode_required": true,
		"enable_moto_payments":      true,
		"application_name":          "shop",
		"application_description":   "a <shop> & more",
		"source_site":               "shop.example",
		"":                          nil, // none
	} {
		inBubble(t, "only "+field, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "blink_response.http", http.StatusCreated))
			b := &tokensource.Blink{Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: e.client()}
			want := map[string]any{"api_key": testID, "secret_key": testSecret}
			switch field {
			case "send_blink_receipt":
				b.SendBlinkReceipt = true
			case "address_postcode_required":
				b.AddressPostcodeRequired = true
			case "enable_moto_payments":
				b.EnableMOTOPayments = true
			case "application_name":
				b.ApplicationName = value.(string)
			case "application_description":
				b.ApplicationDescription = value.(string)
			case "source_site":
				b.SourceSite = value.(string)
			}
			if field != "" {
				want[field] = value
			}
			if _, err := b.Token(); err != nil {
				t.Fatal(err)
			}
			if got := bodyFields(t, e.request, e.sent); !maps.Equal(got, want) {
				t.Errorf("sent %v, want %v", got, want)
			}
			// The legacy API takes none: silently leaving it out would hand out another token than asked for.
			b.Legacy = true
			if field != "" {
				refresh := func() (*oauth2.Token, error) { return b.Refresh(t.Context(), earlierBlinkToken()) }
				for _, get := range []func() (*oauth2.Token, error){b.Token, refresh} {
					_, err := get()
					want := wantError{says: "the legacy API takes no options"}
					want.Provider = "blink"
					checkFailure(t, e, b, err, want)
				}
			}
		})
	}
}

// A token that can be refreshed no more is replaced; an outage is no reason to
// ask for another one.
func TestBlinkRefreshFallsBack(t *testing.T) {
	reset := errors.New("connection reset by peer")
	earlier := earlierBlinkToken()
	const refresh, create = "/api/v1/pay/token/refresh", "/api/v1/pay/token"
	for _, c := range []struct {
		name     string
		earlier  *oauth2.Token
		current  bool // not Legacy
		refresh  reply
		requests []string
		status   int // of the error; -1: none with a status, 0: no error
	}{
		{"200", earlier, false, reply{body: `{"access_token": "refreshed"}`}, []string{refresh}, 0},
		{"400", earlier, false, reply{status: 400}, []string{refresh, create}, 0},
		{"401", earlier, false, reply{status: 401, body: `{"error": "Access Token expired"}`}, []string{refresh, create}, 0},
		{"403", earlier, false, reply{status: 403}, []string{refresh, create}, 0},
		{"404", earlier, false, reply{status: 404, body: "<html>"}, []string{refresh, create}, 0},
		{"422", earlier, false, reply{status: 422}, []string{refresh, create}, 0},
		{"307", earlier, false, reply{status: 307, header: map[string]string{"Location": exchangeBase + create}}, []string{refresh}, 307},
		{"408", earlier, false, reply{status: 408}, []string{refresh}, 408},
		{"429", earlier, false, reply{status: 429}, []string{refresh}, 429},
		{"500", earlier, false, reply{status: 500}, []string{refresh}, 500},
		{"503", earlier, false, reply{status: 503}, []string{refresh}, 503},
		{"refused with 200", earlier, false, reply{body: `{"error": "invalid_client"}`}, []string{refresh, create}, 0},
		{"no token", earlier, false, reply{body: `{}`}, []string{refresh}, 200},
		{"network", earlier, false, reply{err: reset}, []string{refresh}, -1},
		{"timeout", earlier, false, reply{delay: time.Minute}, []string{refresh}, -1},
		{"no earlier token", nil, false, reply{status: 500}, []string{create}, 0},
		{"empty earlier token", &oauth2.Token{}, false, reply{status: 500}, []string{create}, 0},
		{"an API without refresh", earlier, true, reply{status: 500}, []string{"/api/pay/v1/tokens"}, 0},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			e, refreshing := newEndpoint(reply{body: `{"access_token": "created"}`}), newEndpoint(c.refresh)
			var requests []string
			note := func(e *fakeEndpoint) func(*http.Request) (*http.Response, error) {
				return func(req *http.Request) (*http.Response, error) {
					requests = append(requests, req.URL.Path)
					return e.respond(req)
				}
			}
			e.RegisterNoResponder(note(e))
			e.RegisterResponder(http.MethodPost, exchangeBase+refresh, note(refreshing))
			b := &tokensource.Blink{BaseURL: exchangeBase, Credentials: tokensource.StaticCredentials(testID, testSecret), Legacy: !c.current, HTTPClient: e.client()}
			tok, err := b.Refresh(t.Context(), c.earlier)
			synctest.Wait()
			if !slices.Equal(requests, c.requests) {
				t.Errorf("requests to %v, want %v", requests, c.requests)
			}
			switch got := (*tokensource.Error)(nil); {
			case c.status == 0 && (err != nil || tok.AccessToken == ""):
				t.Errorf("token %v, error %v", tok, err)
			case c.status != 0 && (!errors.As(err, &got) || got.Status != max(c.status, 0) || got.Provider != "blink"):
				t.Errorf("error is %v, want status %d", err, c.status)
			}
			if refreshing.opened.Load() != refreshing.closed.Load() {
				t.Error("the refresh's answer was not closed")
			}
		})
	}
}

// A refresh sends the token, in which the merchant's secret key stands in clear;
// the keys themselves a careless server may know as well.
func TestBlinkRefreshEcho(t *testing.T) {
	for name, secret := range secretForms() {
		quoted, _ := json.Marshal("got " + secret + " here")
		for _, body := range []string{`{"error": %s}`, `{"message": %s}`, `{"errorSummary": %s}`, `<html>%s</html>`} {
			for _, status := range []int{200, 429, 500} {
				inBubble(t, fmt.Sprintf("%s/%d "+body, name, status, "..."), func(t *testing.T) {
					// The creation that follows a refusal answers the same.
					e := newEndpoint(reply{status: status, body: fmt.Sprintf(body, quoted)})
					b := &tokensource.Blink{Legacy: true, BaseURL: exchangeBase, HTTPClient: e.client(), Credentials: tokensource.StaticCredentials(testID, testSecret)}
					_, err := b.Refresh(t.Context(), &oauth2.Token{AccessToken: echoToken})
					if err == nil {
						t.Fatal("no error")
					}
					checkNoSecrets(t, b, err)
				})
			}
		}
	}
	b := &tokensource.Blink{Legacy: true, BaseURL: "http://tokens.example"}
	if _, err := b.Refresh(t.Context(), &oauth2.Token{AccessToken: echoToken}); !errors.Is(err, tokensource.ErrInsecure) {
		t.Errorf("error is %v, want ErrInsecure", err)
	}
}

func TestBlinkDetailsOf(t *testing.T) {
	with := func(extra any) *oauth2.Token { return (&oauth2.Token{AccessToken: "t"}).WithExtra(extra) }
	for _, c := range []struct {
		name  string
		token *oauth2.Token
		want  tokensource.BlinkDetails
		ok    bool
	}{
		{"no token", nil, tokensource.BlinkDetails{}, false},
		{"nothing extra", &oauth2.Token{AccessToken: "t"}, tokensource.BlinkDetails{}, false},
		{"another provider's", with(map[string]any{"scope": "*/default/*", "expires_in": 600.0}), tokensource.BlinkDetails{}, false},
		{"another provider's, from a form", with(url.Values{"scope": {"all"}}), tokensource.BlinkDetails{}, false},
		{"nulls", with(map[string]any{"payment_types": nil, "currency": nil}), tokensource.BlinkDetails{}, false},
		{"No", with(map[string]any{"send_blink_receipt": "No"}), tokensource.BlinkDetails{}, true},
		{"YES", with(map[string]any{"send_blink_receipt": "YES"}), tokensource.BlinkDetails{SendBlinkReceipt: true}, true},
		{"false", with(map[string]any{"payment_api_status": false}), tokensource.BlinkDetails{}, true},
		{"wrong types", with(map[string]any{"payment_types": []any{1.0, "card", nil}, "currencies": 3.0, "enable_moto_payments": 1.0}), tokensource.BlinkDetails{PaymentTypes: []string{"card"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := tokensource.BlinkDetailsOf(c.token); ok != c.ok || !reflect.DeepEqual(got, c.want) {
				t.Errorf("details are %+v, %v, want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}
