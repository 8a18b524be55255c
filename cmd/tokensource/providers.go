package main

// The providers of the token command: their environment, flags and help.

import (
	"github.com/spf13/pflag"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// provider is one that the token command knows.
type provider struct {
	name, title string

	// Environment variables.
	idVar, secretVar, baseVar string

	baseURL string // default; empty where the provider names it at onboarding
	note    string // a last word of the help

	flags func(*pflag.FlagSet)                            // the provider's own
	build func(connection) tokensource.ContextTokenSource // once they are parsed
}

func providers() []*provider { return []*provider{blink(), flinks(), blackhawk()} }

func blink() *provider {
	b := &tokensource.Blink{}
	return &provider{
		name:      "blink",
		title:     "Blink (card, open banking and direct debit payments)",
		idVar:     "BLINK_API_KEY",
		secretVar: "BLINK_SECRET_KEY",
		baseVar:   "BLINK_BASE_URL",
		baseURL:   "https://secure.blinkpayment.co.uk",
		note:      "A Blink token contains your secret key in clear: keep it as you keep the key.",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&b.Legacy, "legacy", false, "the older API, /api/v1/pay/token; it takes none of the options below")
			f.BoolVar(&b.SendBlinkReceipt, "send-blink-receipt", false, "Blink sends the receipts")
			f.BoolVar(&b.AddressPostcodeRequired, "address-postcode-required", false, "payers must give address and postcode")
			f.BoolVar(&b.EnableMOTOPayments, "enable-moto-payments", false, "mail order and telephone order payments")
			f.StringVar(&b.ApplicationName, "application-name", "", "name of the calling application")
			f.StringVar(&b.ApplicationDescription, "application-description", "", "description of it")
			f.StringVar(&b.SourceSite, "source-site", "", "web site that the payments come from")
		},
		build: func(c connection) tokensource.ContextTokenSource {
			b.Credentials, b.BaseURL, b.HTTPClient = c.credentials, c.baseURL, c.client
			return b
		},
	}
}

func flinks() *provider {
	f := &tokensource.Flinks{}
	var form bool
	return &provider{
		name:      "flinks",
		title:     "Flinks Pay (Canadian bank payments)",
		idVar:     "FLINKS_USERNAME",
		secretVar: "FLINKS_PASSWORD",
		baseVar:   "FLINKS_BASE_URL",
		note:      "A Flinks token starts one session: every run gets another, unless --reusable.",
		flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&form, "form-credentials", false, "send the credentials as form fields, not by HTTP Basic")
			fs.BoolVar(&f.Reusable, "reusable", false, "a product whose tokens serve all calls: EFT v2, e-transfer, GEFT")
		},
		build: func(c connection) tokensource.ContextTokenSource {
			f.Credentials, f.BaseURL, f.HTTPClient = c.credentials, c.baseURL, c.client
			if form {
				f.AuthStyle = oauth2.AuthStyleInParams
			}
			return f
		},
	}
}

func blackhawk() *provider {
	b := &tokensource.Blackhawk{}
	return &provider{
		name:      "blackhawk",
		title:     "Blackhawk Network (prepaid and rewards)",
		idVar:     "BLACKHAWK_CLIENT_ID",
		secretVar: "BLACKHAWK_CLIENT_SECRET",
		baseVar:   "BLACKHAWK_BASE_URL",
		note:      "Some products demand a client certificate: --cert and --key.",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&b.Scope, "scope", "", "scope to ask for (default: all that the client may use)")
			f.StringVar(&b.TokenPath, "token-path", "", "path of the token endpoint (default: /api/auth)")
		},
		build: func(c connection) tokensource.ContextTokenSource {
			b.Credentials, b.BaseURL, b.HTTPClient = c.credentials, c.baseURL, c.client
			return b
		},
	}
}
