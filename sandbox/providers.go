package sandbox

// What each provider demands and says, as its documents have it, and where they
// are silent, as public clients have met it.

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"
)

const (
	blinkDocument = `{"access_token":%q,"expired_on":%q,"payment_types":["credit-card","direct-debit","open-banking"],` +
		`"currencies":["GBP"],"payment_api_status":true,` +
		`"send_blink_receipt":%t,"enable_moto_payments":%t,"address_postcode_required":%t}`
	blinkLegacyDocument = `{"access_token":%q,"expired_on":%q,"payment_types":["credit-card","open-banking","direct-debit"],` +
		`"currency":"GBP","send_blink_receipt":"Yes"}`
	blinkRefreshDocument = `{"access_token":%q,"expired_on":%q,"currency":"GBP","send_blink_receipt":"Yes"}`
	flinksDocument       = `{"access_token":%q,"token_type":"bearer","expires_in":%d}`
	flinksSession        = `{"sessionId":%q,"referenceId":%q}`
	blackhawkDocument    = `{"token_type":"Bearer","expires_in":%d,"access_token":%q,"scope":%s}`

	// Blink publishes the messages without the JSON around them: each
	// generation has its message where the clients of the other may not look.
	blinkFailure       = `{"success":false,"message":%q}`
	blinkLegacyFailure = `{"error":%q}`

	// Blackhawk publishes both shapes without the statuses that they come with.
	oauthFailure = `{"error":%q,"error_description":%q}`
	oktaFailure  = `{"errorCode":%[1]q,"errorSummary":%[2]q,"errorLink":%[1]q,"errorId":"oaeJCQnzjWAQ4-f45F5RNGskA","errorCauses":[]}`
)

func newToken() string { return "sandbox-token-" + rand.Text() }

// failure is the provider's error body; Flinks publishes none.
func failure(p Provider, status int) (int, string) {
	switch p {
	case Blink:
		return status, fmt.Sprintf(blinkFailure, blinkMessage(status))
	case BlinkLegacy:
		return status, fmt.Sprintf(blinkLegacyFailure, blinkMessage(status))
	case Blackhawk:
		return status, blackhawkFailure(status)
	}
	return status, ""
}

var blinkMessages = map[int]string{
	http.StatusBadRequest:   "Api key is required",
	http.StatusUnauthorized: "Unauthorised request",
	http.StatusForbidden:    "Forbidden request",
}

func blinkMessage(status int) string { return cmp.Or(blinkMessages[status], http.StatusText(status)) }

func blackhawkFailure(status int) string {
	switch status {
	case http.StatusBadRequest:
		return fmt.Sprintf(oauthFailure, "invalid_scope",
			"One or more scopes are not configured for the authorization server resource.")
	case http.StatusUnauthorized:
		return fmt.Sprintf(oauthFailure, "invalid_client", "The client credentials are invalid.")
	case http.StatusForbidden:
		return fmt.Sprintf(oktaFailure, "E0000006", "You do not have permission to perform the requested action")
	}
	return fmt.Sprintf(oktaFailure, "E0000009", http.StatusText(status))
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
		return failure(c.provider, http.StatusBadRequest)
	case keys.ID != s.config.ID, keys.Secret != s.config.Secret:
		return failure(c.provider, http.StatusUnauthorized)
	case c.provider == BlinkLegacy:
		return http.StatusOK, fmt.Sprintf(blinkLegacyDocument, newToken(), s.expiredOn(c))
	}
	return http.StatusCreated, fmt.Sprintf(blinkDocument, newToken(), s.expiredOn(c), keys.Receipt, keys.MOTO, keys.Postcode)
}

func (s *Sandbox) blinkRefresh(c *call) (status int, document string) {
	var earlier struct {
		Token string `json:"access_token"`
	}
	c.decodeJSON(&earlier)
	if s.tokens[c.provider][earlier.Token] == nil {
		return failure(c.provider, http.StatusUnauthorized)
	}
	return http.StatusOK, fmt.Sprintf(blinkRefreshDocument, newToken(), s.expiredOn(c))
}

func (s *Sandbox) expiredOn(c *call) string {
	return c.now.Add(s.lifetime(c.provider)).Format(time.RFC3339)
}

func (s *Sandbox) flinks(c *call) (status int, document string) {
	form := c.form()
	id, secret, ok := c.BasicAuth()
	if !ok {
		id, secret = form.Get("Username"), form.Get("Password")
	}
	switch {
	case id != s.config.ID, secret != s.config.Secret:
		return failure(Flinks, http.StatusUnauthorized)
	case form.Get("grant_type") != "client_credentials":
		return failure(Flinks, http.StatusBadRequest)
	}
	return http.StatusOK, fmt.Sprintf(flinksDocument, newToken(), s.expiresIn(Flinks))
}

func (s *Sandbox) blackhawk(c *call) (status int, document string) {
	form := c.form()
	id, secret, _ := c.BasicAuth()
	switch {
	case c.Header.Get("Accept") != "application/json", form == nil, c.responseType != "token id_token":
		return http.StatusBadRequest, fmt.Sprintf(oktaFailure, "E0000021",
			"Bad request. Accept and/or Content-Type headers likely do not match supported values.")
	case id != s.config.ID, secret != s.config.Secret:
		return failure(Blackhawk, http.StatusUnauthorized)
	case form.Get("grant_type") != "client_credentials":
		return http.StatusBadRequest, fmt.Sprintf(oauthFailure, "unsupported_grant_type", "Send grant_type=client_credentials.")
	}
	scope := marshal(cmp.Or(form.Get("scope"), "*/default/*"))
	return http.StatusOK, fmt.Sprintf(blackhawkDocument, s.expiresIn(Blackhawk), newToken(), scope)
}

// decodeJSON leaves v empty where the body is anything but JSON.
func (c *call) decodeJSON(v any) {
	if c.hasType("application/json") {
		json.Unmarshal(c.body, v)
	}
}

// form is nil where the body is anything but a form.
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
