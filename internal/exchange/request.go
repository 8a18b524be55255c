package exchange

// How a request is written: its body is a form or JSON, and the credentials go
// into the body or into the header.

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
)

// Content is what a request says besides where it goes.
type Content struct {
	ID, Secret           string
	IDField, SecretField string // of the body, for the credentials; both empty: HTTP Basic
	Header               http.Header
	Form                 url.Values     // the body; a grant_type is added if it has none
	JSON                 map[string]any // the body instead
}

// Write gives r the content: its header, its body, the secrets in them.
func (r *Request) Write(c Content) error {
	if err := c.contradiction(); err != nil {
		return err
	}
	body, kind, err := c.body()
	if err != nil {
		return fmt.Errorf("JSON: %w", err)
	}
	pair := c.ID + ":" + c.Secret
	r.Body, r.Header = body, http.Header{}
	maps.Copy(r.Header, c.Header)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", kind)
	if c.IDField == "" {
		// The pair as it is: RFC 6749 would have it URL-escaped first and
		// x/oauth2 does so, the providers do not expect it.
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	r.Secrets = []string{c.ID, c.Secret, pair, url.QueryEscape(c.ID) + ":" + url.QueryEscape(c.Secret)}
	r.Secrets = append(r.Secrets, namedSecret(parse(body).fields, false)...) // a password grant, for one
	for _, fields := range []map[string][]string{c.Form, c.Header} {
		for name, values := range fields {
			if namesSecret(name) {
				r.Secrets = append(r.Secrets, values...)
			}
		}
	}
	return nil
}

// contradiction names fields that exclude each other.
func (c *Content) contradiction() error {
	switch {
	case c.Form != nil && c.JSON != nil:
		return errors.New("the fields Form and JSON are both set: the body can be one of them")
	case c.IDField == "" && c.SecretField != "":
		return errors.New("the field SecretField is set without IDField")
	case c.SecretField == "" && c.IDField != "":
		return errors.New("the field IDField is set without SecretField")
	}
	for name := range c.Header {
		canonical := http.CanonicalHeaderKey(name)
		if canonical == "Accept" || canonical == "Content-Type" || canonical == "Authorization" && c.IDField == "" {
			return fmt.Errorf("the field Header has %s, which the Endpoint sets", name)
		}
	}
	return nil
}

// body returns the body and its media type.
func (c *Content) body() ([]byte, string, error) {
	if c.JSON != nil {
		fields := maps.Clone(c.JSON)
		if c.IDField != "" {
			fields[c.IDField], fields[c.SecretField] = c.ID, c.Secret
		}
		body, err := json.Marshal(fields)
		return body, "application/json", err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(form, c.Form)
	if c.IDField != "" {
		form.Set(c.IDField, c.ID)
		form.Set(c.SecretField, c.Secret)
	}
	return []byte(form.Encode()), "application/x-www-form-urlencoded", nil
}

// Identity is all that decides what the token may do, credentials included:
// sources that send the same request may share a token.
func (r *Request) Identity() []byte {
	b, _ := json.Marshal([]any{r.URL.String(), r.Header, r.Body}) // strings and bytes: no error
	return b
}
