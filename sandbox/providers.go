package sandbox

// What each provider demands and says, as its documents have it, and if they
// are silent, as public clients have met it.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	blinkDocument = `{"access_token":%q,"expired_on":%s,"payment_types":["credit-card","direct-debit","open-banking"],` +
		`"currencies":["GBP"],"payment_api_status":true,` +
		`"send_blink_receipt":%t,"enable_moto_payments":%t,"address_postcode_required":%t}`
	blinkLegacyDocument = `{"access_token":%q,"expired_on":%s,"payment_types":["credit-card","open-banking","direct-debit"],` +
		`"currency":"GBP","send_blink_receipt":"Yes"}`
	blinkRefreshDocument = `{"access_token":%q,"expired_on":%s,"currency":"GBP","send_blink_receipt":"Yes"}`
	flinksDocument       = `{"access_token":%q,"token_type":"bearer","expires_in":%d}`
	flinksSession        = `{"sessionId":%q,"referenceId":%q}`
	blackhawkDocument    = `{"token_type":"Bearer","expires_in":%d,"access_token":%q,"scope":%s}`

	// Blink publishes the messages without the JSON around them: each
	// generation has it under a name that clients of the other may not look at.
	blinkFailure       = `{"success":false,"message":%s}`
	blinkLegacyFailure = `{"error":%s}`

	// Flinks publishes this shape for another of its APIs, Connect.
	flinksFailure = `{"HttpStatusCode":%d,"FlinksCode":%s,"Message":%s}`

	// Blackhawk publishes both shapes without the statuses that they come with.
	oauthFailure = `{"error":%s,"error_description":%s}`
	oktaFailure  = `{"errorCode":%[1]s,"errorSummary":%[2]s,"errorLink":%[1]s,"errorId":"oaeJCQnzjWAQ4-f45F5RNGskA","errorCauses":[]}`
)

const defaultScope = "*/default/*" // Blackhawk's, if a request names none

// refuse is the documented answer to a call that is not good.
func (c *call) refuse(status int) (int, string) { return status, failure(c.provider, status, "", "") }

// failure is the provider's error body. An empty code or message means the
// provider's own for this status.
func failure(p Provider, status int, code, message string) string {
	switch {
	case p == Blink:
		return fmt.Sprintf(blinkFailure, marshal(cmp.Or(message, blinkMessage(status))))
	case p == BlinkLegacy:
		return fmt.Sprintf(blinkLegacyFailure, marshal(cmp.Or(message, blinkMessage(status))))
	case p == Flinks && code+message == "":
		return "" // none is published
	case p == Flinks:
		return fmt.Sprintf(flinksFailure, status, marshal(code), marshal(message))
	}
	known := blackhawkFailure(status)
	if code != "" && code != known.code {
		known = refusal{code, http.StatusText(status)}
	}
	shape := oauthFailure
	if strings.HasPrefix(known.code, "E0") {
		shape = oktaFailure
	}
	return fmt.Sprintf(shape, marshal(known.code), marshal(cmp.Or(message, known.message)))
}

var blinkMessages = map[int]string{
	http.StatusBadRequest:   "Api key is required",
	http.StatusUnauthorized: "Unauthorised request",
	http.StatusForbidden:    "Forbidden request",
}

func blinkMessage(status int) string { return cmp.Or(blinkMessages[status], http.StatusText(status)) }

type refusal struct{ code, message string }

func blackhawkFailure(status int) refusal {
	switch status {
	case http.StatusBadRequest:
		return refusal{"invalid_scope", "One or more scopes are not configured for the authorization server resource."}
	case http.StatusUnauthorized:
		return refusal{"invalid_client", "The client credentials are invalid."}
	case http.StatusForbidden:
		return refusal{"E0000006", "You do not have permission to perform the requested action"}
	}
	return refusal{"E0000009", http.StatusText(status)}
}

// blinkCreate is the create endpoint of both generations.
func (s *Sandbox) blinkCreate(c *call) (status int, document string) {
	var keys struct {
		ID       string `json:"api_key"`
		Secret   string `json:"secret_key"`
		Receipt  bool   `json:"send_blink_receipt"`
		MOTO     bool   `json:"enable_moto_payments"`
		Postcode bool   `json:"address_postcode_required"`
	}
	c.decodeJSON(&keys)
	switch {
	case keys.ID == "", keys.Secret == "":
		return c.refuse(http.StatusBadRequest)
	case keys.ID != s.config.ID, keys.Secret != s.config.Secret:
		return c.refuse(http.StatusUnauthorized)
	case c.provider == BlinkLegacy:
		return http.StatusOK, fmt.Sprintf(blinkLegacyDocument, s.blinkToken(c), s.expiredOn(c))
	}
	return http.StatusCreated, fmt.Sprintf(blinkDocument, s.blinkToken(c), s.expiredOn(c), keys.Receipt, keys.MOTO, keys.Postcode)
}

func (s *Sandbox) blinkRefresh(c *call) (status int, document string) {
	var earlier struct {
		Token string `json:"access_token"`
	}
	c.decodeJSON(&earlier)
	if s.tokens[c.provider][earlier.Token] == nil {
		return c.refuse(http.StatusUnauthorized)
	}
	return http.StatusOK, fmt.Sprintf(blinkRefreshDocument, refreshedToken(), s.expiredOn(c))
}

// expiredOn is JSON: a text, or a number if the fault says so.
func (s *Sandbox) expiredOn(c *call) []byte {
	expiry := c.now.Add(s.lifetime(c.provider))
	switch c.fault.ExpiredOn {
	case Epoch:
		return marshal(expiry.Unix())
	case "":
		return marshal(expiry.Format(time.RFC3339))
	}
	return marshal(expiry.Format(string(c.fault.ExpiredOn)))
}

// limitRate counts a call to Blink and sets what Blink sends along with every
// answer. It tells how long the caller has to wait, if it has.
func (s *Sandbox) limitRate(c *call, h http.Header) (wait time.Duration) {
	const limit = 60 // a minute
	minute := c.now.Truncate(time.Minute)
	if !minute.Equal(s.minute) {
		s.minute, s.calls = minute, 0
	}
	s.calls++
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, limit-s.calls)))
	h.Set("Server", "Apache/2.4.59 (Amazon Linux) OpenSSL/3.0.8")
	h.Set("Cache-Control", "no-cache, private")
	h.Set("Connection", "keep-alive")
	h.Set("Strict-Transport-Security", "max-age=63072000")
	if s.config.EnforceRateLimit && s.calls > limit {
		return minute.Add(time.Minute).Sub(c.now)
	}
	return 0
}

func (s *Sandbox) flinks(c *call) (status int, document string) {
	form := c.form()
	id, secret, ok := c.BasicAuth()
	if !ok {
		id, secret = form.Get("Username"), form.Get("Password")
	}
	switch {
	case id != s.config.ID, secret != s.config.Secret:
		return c.refuse(http.StatusUnauthorized)
	case form.Get("grant_type") != "client_credentials":
		return c.refuse(http.StatusBadRequest)
	}
	return http.StatusOK, fmt.Sprintf(flinksDocument, flinksToken(), s.expiresIn(Flinks))
}

func (s *Sandbox) blackhawk(c *call) (status int, document string) {
	form := c.form()
	id, secret, _ := c.BasicAuth()
	scope := form.Get("scope")
	refuse := func(code, message string) (int, string) {
		return http.StatusBadRequest, failure(Blackhawk, http.StatusBadRequest, code, message)
	}
	switch {
	case c.Header.Get("Accept") != "application/json", form == nil:
		return refuse("E0000021", "Bad request. Accept and/or Content-Type headers likely do not match supported values.")
	case c.responseType.value == "":
		return refuse("E0000021", "Bad request. The header response_type did not arrive: "+
			"a proxy such as nginx drops names with an underscore by default (underscores_in_headers).")
	case c.responseType.value != "token id_token":
		return refuse("E0000021", "Bad request. The header response_type must be: token id_token.")
	case s.config.ExactHeaderCase && c.responseType.name != responseTypeName:
		return refuse("E0000021", "Bad request. The header response_type came as "+c.responseType.name+
			": it must be sent in exactly this case.")
	case id != s.config.ID, secret != s.config.Secret:
		return c.refuse(http.StatusUnauthorized)
	case form.Get("grant_type") != "client_credentials":
		return refuse("unsupported_grant_type", "Send grant_type=client_credentials.")
	case !s.configured(scope):
		return refuse("invalid_scope", "")
	}
	return http.StatusOK, fmt.Sprintf(blackhawkDocument, s.expiresIn(Blackhawk), s.blackhawkToken(c), marshal(cmp.Or(scope, defaultScope)))
}

// configured tells whether each scope of a request, separated by spaces, is one
// of Config.Scopes.
func (s *Sandbox) configured(scope string) bool {
	if s.config.Scopes == nil {
		return true
	}
	for one := range strings.FieldsSeq(scope) {
		if one != defaultScope && !slices.Contains(s.config.Scopes, one) {
			return false
		}
	}
	return true
}

// decodeJSON leaves v empty if the body is anything but JSON.
func (c *call) decodeJSON(v any) {
	if c.hasType("application/json") {
		json.Unmarshal(c.body, v)
	}
}

// form is nil if the body is anything but a form.
func (c *call) form() url.Values {
	if !c.hasType("application/x-www-form-urlencoded") {
		return nil
	}
	form, _ := url.ParseQuery(string(c.body))
	return form
}

func (c *call) hasType(want string) bool {
	got, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	return got == want
}
