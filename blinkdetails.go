package tokensource

// What Blink says about the merchant along with a token.

import (
	"strings"

	"golang.org/x/oauth2"
)

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
