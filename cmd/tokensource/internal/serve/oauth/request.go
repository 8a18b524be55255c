// Package oauth is the standard side of tokensource serve: for each source a
// token endpoint (RFC 6749, client credentials), an invalidation endpoint (RFC
// 7009) and metadata (RFC 8414).
package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
)

// maxBody is many times what a token request takes.
const maxBody = 16 << 10

// fault is an error answer: RFC 6749, section 5.2.
type fault struct {
	status            int
	code, description string
	retryAfter        int // seconds
}

func invalid(description string) *fault {
	return &fault{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

// form reads an authenticated POST. The client secret comes by HTTP Basic
// (client_secret_basic) or in the body (client_secret_post).
func (e *Endpoint) form(r *http.Request) (url.Values, *fault) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, invalid("parameters go into the body, not into the URL")
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return nil, invalid("the Authorization header is there twice")
	}
	basic := r.Header.Get("Authorization") != ""
	if basic { // before the body is read: a stranger's is not
		if f := refused(e.Gate.AdmitBasic(r)); f != nil {
			return nil, f
		}
	}
	form, f := readForm(r)
	switch secret := form.Get("client_secret"); {
	case f != nil && !basic:
		return nil, cmpFault(refused(e.Gate.Admit(r, "")), f)
	case f != nil:
		return nil, f
	case basic && secret != "":
		return nil, invalid("the client secret came twice, by HTTP Basic and in the body")
	case !basic:
		if f := refused(e.Gate.Admit(r, secret)); f != nil {
			return nil, f
		}
	}
	return form, nil
}

// cmpFault prefers the rate limit to what else is wrong with a stranger's
// request.
func cmpFault(limit, other *fault) *fault {
	if limit != nil && limit.status == http.StatusTooManyRequests {
		return limit
	}
	return other
}

func readForm(r *http.Request) (url.Values, *fault) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, invalid("the body has to be application/x-www-form-urlencoded")
	}
	if r.ContentLength > maxBody { // there are no chunks: the guard refuses them
		return nil, &fault{status: http.StatusRequestEntityTooLarge, code: "invalid_request", description: "the body is longer than " + strconv.Itoa(maxBody) + " bytes"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, &fault{status: http.StatusRequestTimeout, code: "invalid_request", description: "the body did not arrive"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("the body is not a URL-encoded form")
	}
	for name, values := range form {
		switch {
		case len(values) > 1:
			return nil, invalid("a parameter is there twice")
		case !utf8.ValidString(name) || !utf8.ValidString(values[0]):
			return nil, invalid("a parameter is not UTF-8")
		}
	}
	return form, nil // an empty parameter counts as absent: Get returns the same
}

// refused is what the gate's word means to a client.
func refused(err error) *fault {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gate.ErrTooMany):
		return &fault{status: http.StatusTooManyRequests, code: "invalid_client", description: err.Error(), retryAfter: 1}
	}
	return &fault{status: http.StatusUnauthorized, code: "invalid_client", description: err.Error()}
}

// post refuses other methods.
func (e *Endpoint) post(handle func(http.ResponseWriter, url.Values, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			e.fail(w, r, &fault{status: http.StatusMethodNotAllowed, code: "invalid_request", description: "POST only"})
			return
		}
		form, f := e.form(r)
		if f != nil {
			e.fail(w, r, f)
			return
		}
		handle(w, form, r)
	}
}
