package config

// The kinds of source, and the fields that each has of its own.

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// endpointKind is what a provider is that is not built in.
const endpointKind = "endpoint"

func (e *entry) source() (Source, error) {
	s := Source{Name: e.name, Kind: e.kind}
	var err error
	switch e.kind {
	case "blink":
		err = e.blink(&s)
	case "flinks":
		err = e.flinks(&s)
	case "blackhawk":
		err = e.blackhawk(&s)
	case endpointKind:
		err = e.endpoint(&s)
	default:
		err = e.wrong("kind", errors.New("it is one of blink, flinks, blackhawk, endpoint"))
	}
	if err != nil {
		return s, err
	}
	s.EarlyRefresh, s.Ready = e.common.EarlyRefresh, e.common.Ready
	switch {
	case s.Ready < 0 || s.Ready > 1000:
		err = e.wrong("ready", errors.New("it is 0 to 1000 tokens"))
	case s.Ready > 0 && !s.Provider.Endpoint().SingleUse:
		err = e.wrong("ready", errors.New("tokens are kept ready of single-use sources only"))
	}
	return s, err
}

func (e *entry) blink(s *Source) error {
	var f struct {
		Fields                  `yaml:",inline"`
		BaseURL                 string `yaml:"base_url"`
		Legacy                  bool   `yaml:"legacy"`
		SendBlinkReceipt        bool   `yaml:"send_blink_receipt"`
		AddressPostcodeRequired bool   `yaml:"address_postcode_required"`
		EnableMOTOPayments      bool   `yaml:"enable_moto_payments"`
		ApplicationName         string `yaml:"application_name"`
		ApplicationDescription  string `yaml:"application_description"`
		SourceSite              string `yaml:"source_site"`
	}
	base, err := e.begin(&f, &f.Fields, s, &f.BaseURL)
	if err != nil {
		return err
	}
	s.Provider = &tokensource.Blink{
		Credentials: base.credentials, BaseURL: f.BaseURL, HTTPClient: base.client, Legacy: f.Legacy,
		SendBlinkReceipt: f.SendBlinkReceipt, AddressPostcodeRequired: f.AddressPostcodeRequired, EnableMOTOPayments: f.EnableMOTOPayments,
		ApplicationName: f.ApplicationName, ApplicationDescription: f.ApplicationDescription, SourceSite: f.SourceSite,
	}
	if f.Legacy && (f.SendBlinkReceipt || f.AddressPostcodeRequired || f.EnableMOTOPayments || f.ApplicationName+f.ApplicationDescription+f.SourceSite != "") {
		return e.wrong("legacy", errors.New("the legacy API takes no options"))
	}
	return e.checkURL("base_url", f.BaseURL)
}

func (e *entry) flinks(s *Source) error {
	var f struct {
		Fields          `yaml:",inline"`
		BaseURL         string `yaml:"base_url"`
		FormCredentials bool   `yaml:"form_credentials"`
		Reusable        bool   `yaml:"reusable"`
	}
	base, err := e.begin(&f, &f.Fields, s, &f.BaseURL)
	if err != nil {
		return err
	}
	flinks := &tokensource.Flinks{Credentials: base.credentials, BaseURL: f.BaseURL, HTTPClient: base.client, Reusable: f.Reusable}
	if f.FormCredentials {
		flinks.AuthStyle = oauth2.AuthStyleInParams
	}
	s.Provider = flinks
	return e.checkURL("base_url", f.BaseURL)
}

func (e *entry) blackhawk(s *Source) error {
	var f struct {
		Fields    `yaml:",inline"`
		BaseURL   string `yaml:"base_url"`
		TokenPath string `yaml:"token_path"`
		Scope     string `yaml:"scope"`
	}
	base, err := e.begin(&f, &f.Fields, s, &f.BaseURL)
	if err != nil {
		return err
	}
	s.Scope = f.Scope
	s.Provider = &tokensource.Blackhawk{
		Credentials: base.credentials, BaseURL: f.BaseURL, HTTPClient: base.client, TokenPath: f.TokenPath, Scope: f.Scope,
	}
	return e.checkURL("base_url", f.BaseURL)
}

func (e *entry) endpoint(s *Source) error {
	var f struct {
		Fields      `yaml:",inline"`
		URL         string            `yaml:"url"`
		IDField     string            `yaml:"id_field"`
		SecretField string            `yaml:"secret_field"`
		Header      map[string]values `yaml:"header"`
		Form        map[string]values `yaml:"form"`
		JSON        map[string]any    `yaml:"json"`
		Lifetime    time.Duration     `yaml:"lifetime"`
		SingleUse   bool              `yaml:"single_use"`
		RetryCodes  []string          `yaml:"retry_codes"`
	}
	base, err := e.begin(&f, &f.Fields, s, nil)
	if err != nil {
		return err
	}
	endpoint := &tokensource.Endpoint{
		Provider: e.name, URL: f.URL, Credentials: base.credentials, HTTPClient: base.client,
		IDField: f.IDField, SecretField: f.SecretField, JSON: f.JSON,
		Lifetime: f.Lifetime, SingleUse: f.SingleUse, RetryCodes: f.RetryCodes,
	}
	for name, v := range f.Header {
		if endpoint.Header == nil {
			endpoint.Header = http.Header{}
		}
		if canonical := http.CanonicalHeaderKey(name); canonical == "Accept" || canonical == "Content-Type" || canonical == "Authorization" && f.IDField == "" {
			return e.wrong("header", fmt.Errorf("%s is set by the endpoint itself", canonical))
		}
		endpoint.Header[name] = v
	}
	for name, v := range f.Form {
		if endpoint.Form == nil {
			endpoint.Form = url.Values{}
		}
		endpoint.Form[name] = v
	}
	s.Provider, s.Scope = endpoint, endpoint.Form.Get("scope")
	switch {
	case f.Form != nil && f.JSON != nil:
		return e.wrong("json", errors.New("the body is form or json, not both"))
	case (f.IDField == "") != (f.SecretField == ""):
		return e.wrong(present(f.IDField, "id_field", "secret_field"), errors.New("id_field and secret_field go together"))
	case f.SingleUse && f.Lifetime == 0:
		return e.wrong("single_use", errors.New("it needs the documented lifetime too: lifetime"))
	}
	if err := e.duration("lifetime", f.Lifetime); err != nil {
		return err
	}
	return e.checkURL("url", f.URL)
}

// parts are what every kind is built with.
type parts struct {
	credentials tokensource.Credentials
	client      *http.Client
}

// begin reads the fields of a kind and makes what all kinds have.
func (e *entry) begin(fields any, common *Fields, s *Source, baseURL *string) (p parts, err error) {
	if err := e.decode(fields); err != nil {
		return p, err
	}
	e.common = common
	if baseURL != nil {
		if *baseURL, err = e.baseURL(*baseURL); err != nil {
			return p, err
		}
	}
	p.credentials, p.client, s.Certificate, err = e.connection(common)
	return p, err
}

// checkURL refuses at the start what the library would refuse at each request.
func (e *entry) checkURL(field, address string) error {
	if address == "" {
		return e.wrong(field, errors.New("not set: it is the address of the token endpoint"))
	}
	if field == "base_url" && !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "":
		return e.wrong(field, errors.New("not a URL: write https://host"))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return e.wrong(field, errors.New("only scheme, host and path may stand there: credentials have fields of their own"))
	case u.Scheme != "https" && (u.Scheme != "http" || !strings.EqualFold(u.Hostname(), "localhost") && !net.ParseIP(u.Hostname()).IsLoopback()):
		return e.wrong(field, errors.New("plain http is refused except to loopback: write https://host"))
	}
	return nil
}
