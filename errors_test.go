package tokensource_test

// How an exchange fails, and what the caller is told: one table of answers, one
// of networks, one of configurations, each over all providers. Whatever the
// fault, checkFailure (endpoint_test.go) holds the error to the same promises.

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

// toolhive#4513: HTML with status 200. camunda#44815: no Retry-After.
func TestBadAnswers(t *testing.T) {
	in30s := "Sat, 01 Jan 2000 00:00:30 GMT"
	oauth2Error, oktaError := goldenAnswer(t, "blackhawk_error_oauth2.http", 400), goldenAnswer(t, "blackhawk_error_okta.http", 400)
	says := func(text string) wantError { return wantError{says: text} }
	refused := func(code, description string) wantError {
		return wantError{Error: tokensource.Error{Code: code, Description: description}, says: "refused"}
	}
	rejected := func(code, description string) wantError {
		return wantError{Error: tokensource.Error{Code: code, Description: description}, is: tokensource.ErrCredentials, says: "credentials"}
	}
	outage := wantError{temporary: true, says: "failing"}
	retry := func(after time.Duration) wantError {
		return wantError{Error: tokensource.Error{RetryAfter: after}, temporary: true}
	}
	unreadable := func(text string) wantError { return wantError{temporary: true, says: text} }
	header := func(nameValue ...string) map[string]string {
		h := map[string]string{}
		for i := 0; i < len(nameValue); i += 2 {
			h[nameValue[i]] = nameValue[i+1]
		}
		return h
	}

	for _, c := range []struct {
		name   string
		answer reply
		want   wantError
	}{
		// Refusals, in every documented shape.
		{"error is a string", reply{status: 400, body: `{"error": "Api key is required"}`}, refused("Api key is required", "")},
		{"success false and a message", reply{status: 400, body: `{"success": false, "message": "Api key is required"}`}, refused("", "Api key is required")},
		{"unauthorised", reply{status: 401, body: `{"error": "Unauthorised request"}`}, rejected("Unauthorised request", "")},
		{"expired", reply{status: 401, body: `{"success": false, "message": "Access Token expired"}`}, rejected("", "Access Token expired")},
		{"API status not active", reply{status: 403, body: `{"error": "Forbidden request", "message": "API status not active"}`}, rejected("Forbidden request", "API status not active")},
		{"OAuth2 error", oauth2Error, refused("invalid_scope", "One or more scopes are not configured for the authorization server resource.")},
		{"Okta error", oktaError, refused("E0000021", "Bad request. Accept and/or Content-Type headers likely do not match supported values.")},
		{"invalid_client with status 400", reply{status: 400, body: `{"error": "invalid_client"}`}, rejected("invalid_client", "")},
		{"unauthorized_client with status 400", reply{status: 400, body: `{"error": "unauthorized_client"}`}, rejected("unauthorized_client", "")},
		{"401 without a body", reply{status: 401}, rejected("", "")},
		{"403 in HTML", reply{status: 403, body: "<html>blocked</html>"}, says("HTML page: a proxy or firewall")},
		{"401 in HTML", reply{status: 401, body: "<html>sign in</html>"}, says("HTML page: a proxy or firewall")},
		{"404 in HTML", reply{status: 404, body: "<html>not here</html>"}, says("404 Not Found")},
		{"error of another type", reply{status: 422, body: `{"error": {"code": 7}, "message": ["a"]}`}, refused("", "")},
		{"error is null, message is not", reply{status: 400, body: `{"error": null, "error_description": "", "message": "m"}`}, refused("", "m")},
		{"error is an array", reply{status: 400, body: `["a"]`}, refused("", "")},
		{"line breaks in the description", reply{status: 400, body: `{"error": "a\r\nb", "message": "\u001b[31mred\u0000"}`}, refused("a  b", "[31mred")},
		{"long description", reply{status: 400, body: `{"message": "` + strings.Repeat("é", 200) + `x"}`}, refused("", strings.Repeat("é", 150)+"...")},
		{"refusal of 2 MiB", reply{status: 400, body: strings.Repeat("x", 2<<20)}, refused("", "")},
		{"refusal cut off", reply{status: 401, body: `{"error": "Unau`, end: io.ErrUnexpectedEOF}, rejected("", "")},

		// Outages and limits.
		{"408", reply{status: 408}, outage},
		{"500", reply{status: 500, body: `{"error": "oops"}`}, wantError{Error: tokensource.Error{Code: "oops"}, temporary: true}},
		{"502 in HTML", reply{status: 502, body: "<html>bad gateway</html>"}, outage},
		{"503, retry in seconds", reply{status: 503, header: header("Retry-After", "7")}, retry(7 * time.Second)},
		{"599", reply{status: 599}, outage},
		{"429", reply{status: 429, body: `{"message": "Too Many Attempts."}`}, wantError{Error: tokensource.Error{Description: "Too Many Attempts."}, temporary: true, says: "limits the rate"}},
		{"429, retry in seconds", reply{status: 429, header: header("Retry-After", "120")}, retry(2 * time.Minute)},
		{"429, retry at a date", reply{status: 429, header: header("Retry-After", in30s)}, retry(30 * time.Second)},
		{"429, retry at a date of a clock an hour behind", reply{status: 429, header: header("Retry-After", in30s, "Date", "Fri, 31 Dec 1999 23:00:00 GMT")}, retry(time.Hour + 30*time.Second)},
		{"429, retry at a date of a clock ahead", reply{status: 429, header: header("Retry-After", in30s, "Date", "Sat, 01 Jan 2000 00:00:20 GMT")}, retry(10 * time.Second)},
		{"429, retry in the past", reply{status: 429, header: header("Retry-After", "Fri, 31 Dec 1999 23:00:00 GMT")}, retry(0)},
		{"429, retry in a negative time", reply{status: 429, header: header("Retry-After", "-7")}, retry(0)},
		{"429, retry in a time in milliseconds since 1970", reply{status: 429, header: header("Retry-After", "1732500000000")}, retry(math.MaxInt64 / time.Second * time.Second)},
		{"429, retry soon", reply{status: 429, header: header("Retry-After", "soon")}, retry(0)},

		// Status 200 and no token.
		{"no body", reply{}, unreadable("is empty")},
		{"blank body", reply{body: " \r\n"}, unreadable("is empty")},
		{"204", reply{status: 204}, unreadable("is empty")},
		{"HTML", reply{body: "\n<!DOCTYPE html><html>sign in</html>"}, unreadable("an HTML page")},
		{"text", reply{body: "OK"}, unreadable("not a JSON object")},
		{"form", reply{body: "access_token=tok&expires_in=299"}, unreadable("not a JSON object")},
		{"truncated, length known", reply{body: `{"access_token": "to`, end: io.ErrUnexpectedEOF}, unreadable("cut off")},
		{"truncated at the end of the object", reply{body: `{"access_token": "tok"}`, end: io.ErrUnexpectedEOF}, unreadable("cut off")},
		{"truncated, length unknown", reply{body: `{"access_token": "to`}, unreadable("ends too early")},
		{"connection reset", reply{body: `{"access_token": "to`, end: syscall.ECONNRESET}, unreadable("connection reset")},
		{"2 MiB", reply{body: `{"access_token": "tok", "pad": "` + strings.Repeat("x", 2<<20) + `"}`}, unreadable("larger than")},
		{"2 MiB of blanks after the object", reply{body: `{"access_token": "tok"}` + strings.Repeat(" ", 2<<20)}, unreadable("larger than")},
		{"array", reply{body: `[{"access_token": "tok"}]`}, unreadable("not a JSON object")},
		{"string", reply{body: `"tok"`}, unreadable("not a JSON object")},
		{"number", reply{body: `42`}, unreadable("not a JSON object")},
		{"null", reply{body: `null`}, unreadable("not a JSON object")},
		{"two objects", reply{body: `{"access_token": "tok"} {}`}, unreadable("not a JSON object")},
		{"nested too deeply", reply{body: strings.Repeat(`{"a":`, 20000)}, unreadable("not a JSON object")},
		{"no access_token", reply{body: `{"token_type": "Bearer", "expires_in": 299}`}, unreadable("no access_token")},
		{"empty access_token", reply{body: `{"access_token": ""}`}, unreadable("no access_token")},
		{"null access_token", reply{body: `{"access_token": null}`}, unreadable("no access_token")},
		{"number as access_token", reply{body: `{"access_token": 42}`}, unreadable("not a string")},
		{"object as access_token", reply{body: `{"access_token": {}}`}, unreadable("not a string")},
		{"line break in access_token", reply{body: `{"access_token": "` + echoToken + `\r\nX: y"}`}, unreadable("no header can carry")},
		{"NUL in access_token", reply{body: `{"access_token": "` + echoToken + `\u0000"}`}, unreadable("no header can carry")},
		{"blank in access_token", reply{body: `{"access_token": " ` + echoToken + `"}`}, unreadable("no header can carry")},
		{"access_token not in ASCII", reply{body: `{"access_token": "` + echoToken + `é"}`}, unreadable("no header can carry")},
		{"line break in token_type", reply{body: `{"access_token": "` + echoToken + `", "token_type": "Bearer\n"}`}, unreadable("no header can carry")},
		{"error with status 200", reply{body: `{"error": "invalid_scope", "error_description": "no"}`}, wantError{Error: tokensource.Error{Code: "invalid_scope", Description: "no"}, says: "refused"}},
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			e := newEndpoint(c.answer)
			src := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client())
			tok, err := src.Token()
			if tok != nil {
				t.Fatalf("there is a token: %v", tok)
			}
			want := c.want
			want.Provider, want.Status = x.provider, cmp.Or(c.answer.status, http.StatusOK)
			checkFailure(t, e, src, err, want)
			if n := e.GetTotalCallCount(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// x/oauth2's clientcredentials re-posted client_secret to another host on a 307,
// and took the token from there.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		for _, location := range []string{"https://elsewhere.example/token", exchangeBase + "/login", "http://tokens.example/", "/login", ""} {
			everyExchange(t, fmt.Sprintf("%d to %q", status, location), func(t *testing.T, x exchange) {
				e := newEndpoint(reply{status: status, header: map[string]string{"Location": location}, body: `{"access_token": "tok"}`})
				client := e.client()
				client.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
					if len(via) > 2 {
						return http.ErrUseLastResponse
					}
					return nil // the caller's policy would follow
				}
				src := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), client)
				_, err := src.Token()
				want := wantError{says: "redirects are not followed"}
				want.Provider, want.Status = x.provider, status
				checkFailure(t, e, src, err, want)
				if n := e.GetTotalCallCount(); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		}
	}
}

// If there is no answer the caller can tell an outage from a mistake.
func TestNetworkFailures(t *testing.T) {
	untrusted, plain := httptest.NewUnstartedServer(nil), httptest.NewServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	t.Cleanup(plain.Close)
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(broken.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	noSuchHost := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "tokens.invalid", IsNotFound: true}}
	}

	for _, c := range []struct {
		name, base string
		transport  *http.Transport
		want       wantError
		as         any
	}{
		{"unreachable host", gone.URL, &http.Transport{}, wantError{temporary: true, says: "connection refused"}, new(syscall.Errno)},
		{"DNS failure", "https://tokens.invalid", &http.Transport{DialContext: noSuchHost}, wantError{temporary: true, says: "no such host"}, new(*net.DNSError)},
		{"untrusted certificate", untrusted.URL, &http.Transport{}, wantError{says: "certificate"}, new(x509.UnknownAuthorityError)},
		{"certificate of another host", strings.Replace(untrusted.URL, "127.0.0.1", "localhost", 1), &http.Transport{TLSClientConfig: untrusted.Client().Transport.(*http.Transport).TLSClientConfig}, wantError{says: "certificate"}, new(*tls.CertificateVerificationError)},
		{"plain HTTP behind https", strings.Replace(plain.URL, "http:", "https:", 1), &http.Transport{}, wantError{says: "HTTP response to HTTPS client"}, nil},
		{"connection broken without an answer", broken.URL, &http.Transport{}, wantError{temporary: true, says: "EOF"}, nil},
	} {
		for _, x := range exchanges {
			t.Run(c.name+"/"+x.name, func(t *testing.T) {
				defer c.transport.CloseIdleConnections()
				src := x.source(c.base, tokensource.StaticCredentials(testID, testSecret), &http.Client{Transport: c.transport})
				_, err := src.Token()
				c.want.Provider = x.provider
				checkFailure(t, nil, src, err, c.want)
				if c.as != nil && !errors.As(err, c.as) {
					t.Errorf("no %T in %v", c.as, err)
				}
			})
		}
	}
}

// A mistake in the configuration is found before anything is sent.
func TestBadConfiguration(t *testing.T) {
	const notURL, notOnly = "write https://host", "scheme, host and path only"
	for _, c := range []struct {
		name, base string
		is         error
		says       string
	}{
		{"plain http", "http://tokens.example", tokensource.ErrInsecure, "use https"},
		{"plain http, upper case", "HTTP://tokens.example", tokensource.ErrInsecure, "use https"},
		{"plain http to the local network", "http://192.168.0.1", tokensource.ErrInsecure, "use https"},
		{"plain http to all interfaces", "http://0.0.0.0", tokensource.ErrInsecure, "use https"},
		{"plain http to what starts like loopback", "http://localhost.example", tokensource.ErrInsecure, "use https"},
		{"plain http to a name that looks like a loopback address", "http://127.0.0.1.example", tokensource.ErrInsecure, "use https"},
		{"another scheme", "ftp://tokens.example", tokensource.ErrInsecure, "use https"},
		{"userinfo", "https://user:hunter2@tokens.example", nil, notOnly},
		{"userinfo without a scheme", "user:hunter2@tokens.example", nil, notOnly},
		{"loopback as userinfo", "http://localhost@tokens.example", nil, notOnly},
		{"query", "https://tokens.example?key=hunter2", nil, notOnly},
		{"fragment", "https://tokens.example#hunter2", nil, notOnly},
		{"no host", "https://", nil, notURL},
		{"no scheme, no host", "://hunter2", nil, notURL},
		{"blank in the host", "https://tokens .example", nil, notURL},
		{"port that is none", "https://tokens.example:hunter2", nil, notURL},
		{"bad escape", "https://tokens.example/%zz?hunter2", nil, notURL},
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			checkNotSent(t, x, c.base, tokensource.StaticCredentials(testID, testSecret), wantError{is: c.is, says: c.says})
		})
	}
	for _, x := range exchanges {
		if x.provider == "blink" { // has a public default
			continue
		}
		inBubble(t, "no BaseURL/"+x.name, func(t *testing.T) {
			checkNotSent(t, x, "", tokensource.StaticCredentials(testID, testSecret), wantError{says: "BaseURL is not set"})
		})
	}
	for _, base := range []string{"http://localhost:8080", "http://LOCALHOST", "http://127.0.0.1", "http://127.9.9.9:80", "http://[::1]:8080"} {
		everyExchange(t, "loopback is fine/"+base, func(t *testing.T, x exchange) {
			e := newEndpoint(reply{body: `{"access_token": "tok"}`})
			if _, err := x.source(base, tokensource.StaticCredentials(testID, testSecret), e.client()).Token(); err != nil {
				t.Error(err)
			}
		})
	}
}

// checkNotSent wants the failure before there is a request.
func checkNotSent(t *testing.T, x exchange, base string, creds tokensource.Credentials, want wantError) {
	t.Helper()
	e := newEndpoint(reply{body: `{"access_token": "tok"}`})
	src := x.source(base, creds, e.client())
	_, err := src.Token()
	want.Provider = x.provider
	checkFailure(t, e, src, err, want)
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("%v quotes the URL", err)
	}
	if n := e.GetTotalCallCount(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// Code written for x/oauth2 keeps working, whichever error it meets next.
func TestRetrieveError(t *testing.T) {
	limited := &tokensource.Error{Provider: "blink", Status: 429, Code: "c", Description: "d", RetryAfter: 1500 * time.Millisecond, Err: errors.New("wait")}
	var re *oauth2.RetrieveError
	if !errors.As(fmt.Errorf("wrapped: %w", limited), &re) || re.ErrorCode != "c" || re.ErrorDescription != "d" || re.Response.StatusCode != 429 {
		t.Fatalf("found %+v", re)
	}
	if got := re.Response.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %q, want whole seconds, rounded up", got)
	}
	if text := fmt.Sprint(re); !strings.Contains(text, `"c" "d"`) {
		t.Errorf("prints as %q", text)
	}
	if _, err := re.Response.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("reading its body: %v", err)
	}
	// The variable of a loop still holds the last error's.
	if errors.As(&tokensource.Error{Provider: "blink", Err: tokensource.ErrInsecure}, &re) {
		t.Errorf("an error without an answer is taken for %v", re)
	}
	own := &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, Body: []byte(echoToken)}
	if !errors.As(&tokensource.Error{Status: 400, Err: own}, &re) || len(re.Body) > 0 {
		t.Errorf("found %v, want one without a body", re)
	}
}

// toolhive#5082: the text of x/oauth2's error is the response body, unless that
// was in the OAuth2 shape. A source of another kind fails with the same typed
// error, without it.
func TestForeignRetrieveError(t *testing.T) {
	for _, c := range []struct {
		name, code string
		status     int
		rejected   bool
	}{
		{"OAuth2 shape", "busy", 503, false},
		{"another shape", "", 503, false},
		{"unauthorized", "", 401, true},
		{"invalid_client", "invalid_client", 400, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			foreign := failingSource{fmt.Errorf("fetching: %w", &oauth2.RetrieveError{
				Response:         &http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {"30"}}},
				Body:             []byte(`{"echo": "` + echoToken + `"}`),
				ErrorCode:        c.code,
				ErrorDescription: "try\nlater",
			})}
			req := httptest.NewRequest(http.MethodGet, exchangeBase, nil)
			_, err := (&tokensource.Transport{Source: foreign, Base: newEndpoint(reply{})}).RoundTrip(req)
			var got *tokensource.Error
			if !errors.As(err, &got) || got.Status != c.status || got.Code != c.code || got.Description != "try later" ||
				got.RetryAfter != 30*time.Second || got.Temporary() == c.rejected || errors.Is(err, tokensource.ErrCredentials) != c.rejected {
				t.Errorf("error is %#v", err)
			}
			checkNoSecrets(t, nil, err)
		})
	}
}

// echoing is an error that shows all it has in %#v, since it is no pointer.
type echoing struct {
	error
	body string
}

func (e echoing) Unwrap() error { return e.error }

// Package fmt prints the fields of an error that hides nothing itself.
func TestForeignRetrieveErrorInEveryVerb(t *testing.T) {
	cause := &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}}
	tr := &tokensource.Transport{Source: failingSource{echoing{cause, echoToken}}, Base: newEndpoint(reply{})}
	_, err := tr.RoundTrip(httptest.NewRequest(http.MethodGet, exchangeBase, nil))
	for ; err != nil; err = errors.Unwrap(err) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
			if text := fmt.Sprintf(verb, err); strings.Contains(text, echoToken) {
				t.Errorf("%s of a %T shows the body: %s", verb, err, text)
			}
		}
	}
}

type failingSource struct{ err error }

func (s failingSource) Token() (*oauth2.Token, error) { return nil, s.err }

// An *Error is a net.Error, one line, and its RetrieveError has a Request.
func TestErrorAsOthersExpectIt(t *testing.T) {
	for name, c := range map[string]struct {
		err     *tokensource.Error
		timeout bool
	}{
		"deadline":   {&tokensource.Error{Err: fmt.Errorf("x: %w", context.DeadlineExceeded)}, true},
		"net/http's": {&tokensource.Error{Err: &url.Error{Op: "Post", Err: os.ErrDeadlineExceeded}}, true},
		"refused":    {&tokensource.Error{Err: syscall.ECONNREFUSED}, false},
		"no cause":   {&tokensource.Error{Status: 503}, false},
		"two\nlines": {&tokensource.Error{Description: "a\u2028b\u202e", Err: errors.New("panic: x\n\ngoroutine 7")}, false},
	} {
		var network net.Error
		if !errors.As(error(c.err), &network) || network.Timeout() != c.timeout || os.IsTimeout(c.err) != c.timeout {
			t.Errorf("%s: Timeout is %v", name, c.err.Timeout())
		}
		if strings.ContainsFunc(c.err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: not one printable line: %q", name, c.err)
		}
	}
	var re *oauth2.RetrieveError
	if !errors.As(error(&tokensource.Error{Status: 400}), &re) || re.Response.Request == nil || re.Response.Request.URL == nil {
		t.Errorf("found %+v", re)
	}
}

// Flinks' list has limits and outages on 401 and 403: people rotated good keys.
func TestFlinksAsksForPatience(t *testing.T) {
	for _, code := range []string{"TOO_MANY_REQUESTS", "RETRY_LATER"} {
		for _, status := range []int{401, 403} {
			inBubble(t, fmt.Sprint(code, status), func(t *testing.T) {
				e := newEndpoint(reply{status: status, body: `{"FlinksCode": "` + code + `", "Message": "Come back."}`})
				f := &tokensource.Flinks{BaseURL: exchangeBase, Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: e.client()}
				_, err := f.Token()
				want := wantError{temporary: true, says: "try again later"}
				want.Provider, want.Status, want.Code, want.Description = "flinks", status, code, "Come back."
				checkFailure(t, e, f, err, want)
			})
		}
	}
}
