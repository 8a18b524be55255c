package tokensource_test

// The fake token endpoint that the tests of the providers talk to, and what
// every exchange with it must show: the documents' golden messages if it
// succeeds, one kind of error if it fails.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/jarcoal/httpmock"
	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

const exchangeBase = "https://tokens.example"

// exchange is one way to ask a provider for a token.
type exchange struct {
	name, provider string
	lifetime       time.Duration // the documented one
	source         func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource
}

var exchanges = []exchange{
	{"Blink", "blink", 30 * time.Minute, func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource {
		return &tokensource.Blink{BaseURL: base, Credentials: creds, HTTPClient: client}
	}},
	{"Blink legacy", "blink", 30 * time.Minute, func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource {
		return &tokensource.Blink{BaseURL: base, Credentials: creds, HTTPClient: client, Legacy: true}
	}},
	{"Flinks", "flinks", 299 * time.Second, func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource {
		return &tokensource.Flinks{BaseURL: base, Credentials: creds, HTTPClient: client}
	}},
	{"Flinks form", "flinks", 299 * time.Second, func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource {
		return &tokensource.Flinks{BaseURL: base, Credentials: creds, HTTPClient: client, AuthStyle: oauth2.AuthStyleInParams, Reusable: true}
	}},
	{"Blackhawk", "blackhawk", 600 * time.Second, func(base string, creds tokensource.Credentials, client *http.Client) tokensource.ContextTokenSource {
		return &tokensource.Blackhawk{BaseURL: base, Credentials: creds, HTTPClient: client}
	}},
}

// inBubble runs f as a subtest on virtual time.
func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// everyExchange runs f for each exchange, on virtual time.
func everyExchange(t *testing.T, name string, f func(*testing.T, exchange)) {
	for _, x := range exchanges {
		inBubble(t, name+"/"+x.name, func(t *testing.T) { f(t, x) })
	}
}

// reply is what a token endpoint says.
type reply struct {
	status int               // default 200
	header map[string]string // names as they are
	body   string
	end    error         // what the body ends with; default io.EOF
	delay  time.Duration // before the answer
	pause  time.Duration // before each byte of the body
	err    error         // instead of an answer
}

// fakeEndpoint answers every request alike, to any URL: what would be
// sent elsewhere is counted too.
type fakeEndpoint struct {
	*httpmock.MockTransport
	answer  reply
	request *http.Request // the last one
	sent    []byte        // its body

	read, opened, closed atomic.Int64 // bytes, answers, answers
}

func newEndpoint(a reply) *fakeEndpoint {
	e := &fakeEndpoint{MockTransport: httpmock.NewMockTransport(), answer: a}
	e.RegisterNoResponder(e.respond)
	return e
}

func (e *fakeEndpoint) respond(req *http.Request) (*http.Response, error) {
	a := e.answer
	e.request = req
	e.sent, _ = io.ReadAll(req.Body)
	if err := pause(req.Context(), a.delay); err != nil || a.err != nil {
		return nil, errors.Join(err, a.err)
	}
	e.opened.Add(1)
	resp := &http.Response{
		StatusCode:    max(a.status, http.StatusOK),
		Header:        http.Header{},
		Body:          &answerBody{e, req.Context(), a.body},
		ContentLength: -1,
		Request:       req,
	}
	for name, value := range a.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

// client makes requests to the endpoint, whatever the host.
func (e *fakeEndpoint) client() *http.Client { return &http.Client{Transport: e} }

// answerBody counts what is read and closed, and dies with the request as a
// connection does.
type answerBody struct {
	of   *fakeEndpoint
	ctx  context.Context
	rest string
}

func (b *answerBody) Read(p []byte) (int, error) {
	if b.of.answer.pause > 0 {
		p = p[:min(len(p), 1)]
	}
	if err := pause(b.ctx, b.of.answer.pause); err != nil {
		return 0, err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	b.of.read.Add(int64(n))
	if n == 0 && len(p) > 0 {
		if b.of.answer.end != nil {
			return 0, b.of.answer.end
		}
		return 0, io.EOF
	}
	return n, nil
}

func (b *answerBody) Close() error {
	b.of.closed.Add(1)
	return nil
}

// pause waits in a bubble's time, no longer than ctx allows.
func pause(ctx context.Context, d time.Duration) error {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// golden reads a message of testdata. The names of its headers stay as they are
// written.
func golden(t *testing.T, file string) (start string, header map[string]string, body string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	header = map[string]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		header[name] = value
	}
	return lines[0], header, body
}

// goldenAnswer is a golden message as an answer with the given status.
func goldenAnswer(t *testing.T, file string, status int) reply {
	t.Helper()
	_, header, body := golden(t, file)
	return reply{status: status, header: header, body: body}
}

// checkRequest compares a request with the golden one: all of the method, the
// URL, the headers, and the fields of the body.
func checkRequest(t *testing.T, e *fakeEndpoint, file string) {
	t.Helper()
	start, header, body := golden(t, file)
	start = strings.Replace(start, "{baseUrl}", "certification.promob2b.bhnapi.com", 1)
	if got := e.request.Method + " " + e.request.URL.String() + " HTTP/1.1"; got != start {
		t.Errorf("request is\n%s, want\n%s", got, start)
	}
	want := http.Header{"Accept": {"application/json"}}
	for name, value := range header {
		switch name {
		case "host", "content-length", "cache-control": // not among the document's Header Elements
		case "response_type": // its case matters
			want[name] = []string{value}
		default:
			want.Set(name, value)
		}
	}
	sent := maps.Clone(e.request.Header)
	maps.DeleteFunc(sent, func(_ string, values []string) bool { return values == nil }) // is not sent
	if !maps.EqualFunc(sent, want, slices.Equal) {
		t.Errorf("header is\n%q, want\n%q", e.request.Header, want)
	}
	if e.request.ContentLength != int64(len(e.sent)) {
		t.Errorf("Content-Length %d of a body of %d bytes", e.request.ContentLength, len(e.sent))
	}
	if got, want := bodyFields(t, e.request, e.sent), bodyFields(t, e.request, []byte(body)); !reflect.DeepEqual(got, want) {
		t.Errorf("body has the fields\n%v, want\n%v", got, want)
	}
}

func bodyFields(t *testing.T, req *http.Request, body []byte) (fields map[string]any) {
	t.Helper()
	if req.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	form, err := url.ParseQuery(string(bytes.TrimSpace(body)))
	if err != nil {
		t.Fatal(err)
	}
	fields = map[string]any{}
	for name, values := range form {
		fields[name] = values
	}
	return fields
}

// checkToken compares a token with the golden answer that it came from.
func checkToken(t *testing.T, tok *oauth2.Token, err error, file, typ string, expiry time.Time) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	_, _, body := golden(t, file)
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	if tok.AccessToken != fields["access_token"] || tok.Type() != "Bearer" || tok.TokenType != typ {
		t.Errorf("token %q of type %q, want %v of type %q", tok.AccessToken, tok.TokenType, fields["access_token"], typ)
	}
	if !tok.Expiry.Equal(expiry) {
		t.Errorf("expires at %v, want %v", tok.Expiry, expiry)
	}
	fields["access_token"] = nil // so the extra fields can be logged
	for name, value := range fields {
		if got := tok.Extra(name); !reflect.DeepEqual(got, value) {
			t.Errorf("Extra(%q) is %v, want %v", name, got, value)
		}
	}
}

// wantError is what the caller is told.
type wantError struct {
	tokensource.Error // its Err is not compared
	is                error
	temporary         bool
	says              string
}

// checkFailure holds an error, and the endpoint that it came from (nil for
// none), to what every failure promises.
func checkFailure(t *testing.T, e *fakeEndpoint, src any, err error, want wantError) {
	t.Helper()
	var got *tokensource.Error
	if !errors.As(err, &got) {
		t.Fatalf("error is %T %v, want a *tokensource.Error", err, err)
	}
	for _, f := range []struct {
		field     string
		got, want any
	}{
		{"Provider", got.Provider, want.Provider},
		{"Status", got.Status, want.Status},
		{"Code", got.Code, want.Code},
		{"Description", got.Description, want.Description},
		{"RetryAfter", got.RetryAfter, want.RetryAfter},
		{"Temporary", got.Temporary(), want.temporary},
		{"wraps ErrCredentials", errors.Is(err, tokensource.ErrCredentials), want.is == tokensource.ErrCredentials},
		{"wraps ErrInsecure", errors.Is(err, tokensource.ErrInsecure), want.is == tokensource.ErrInsecure},
	} {
		if f.got != f.want {
			t.Errorf("%s is %#v, want %#v in %v", f.field, f.got, f.want, err)
		}
	}
	text := err.Error()
	if !strings.HasPrefix(text, "tokensource: ") || !strings.Contains(text, want.says) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("error says %q, want %q", text, want.says)
	}
	var re *oauth2.RetrieveError
	if found := errors.As(err, &re); found != (want.Status != 0) {
		t.Errorf("found an *oauth2.RetrieveError: %v, status %d", found, want.Status)
	} else if found && (re.Response.StatusCode != want.Status || re.ErrorCode != want.Code || re.ErrorDescription != want.Description || len(re.Body) > 0) {
		t.Errorf("RetrieveError is %d %q %q %q", re.Response.StatusCode, re.ErrorCode, re.ErrorDescription, re.Body)
	}
	checkNoSecrets(t, src, err)
	if e == nil {
		return
	}
	if opened, closed := e.opened.Load(), e.closed.Load(); opened != closed {
		t.Errorf("%d of %d answers were closed", closed, opened)
	}
	if read := e.read.Load(); read > 1<<20+1 {
		t.Errorf("read %d bytes of the answer, want 1 MiB at most", read)
	}
}

// A contradiction is named before anything is sent.
func TestEndpointContradictions(t *testing.T) {
	creds := tokensource.StaticCredentials(testID, testSecret)
	for name, c := range map[string]struct {
		endpoint tokensource.Endpoint
		is       error
		says     string
	}{
		"two bodies":              {tokensource.Endpoint{Form: url.Values{}, JSON: map[string]any{}}, nil, "Form and JSON"},
		"id without secret":       {tokensource.Endpoint{IDField: "id"}, nil, "IDField is set without SecretField"},
		"secret without id":       {tokensource.Endpoint{SecretField: "secret"}, nil, "SecretField is set without IDField"},
		"a Content-Type":          {tokensource.Endpoint{Header: http.Header{"content-type": {"text/plain"}}}, nil, "Header has content-type"},
		"two Authorizations":      {tokensource.Endpoint{Header: http.Header{"Authorization": {"x"}}}, nil, "Header has Authorization"},
		"JSON that is none":       {tokensource.Endpoint{JSON: map[string]any{"f": func() {}}}, nil, "JSON: "},
		"no URL":                  {tokensource.Endpoint{URL: "-"}, nil, "URL is not"},
		"credentials not UTF-8":   {tokensource.Endpoint{JSON: map[string]any{}, IDField: "i", SecretField: "s", Credentials: tokensource.StaticCredentials("id", "caf\xe9-secret")}, tokensource.ErrCredentials, "not UTF-8"},
		"nothing to present":      {tokensource.Endpoint{Credentials: tokensource.StaticCredentials("", "")}, tokensource.ErrCredentials, "empty id or secret"},
		"a colon in Basic's name": {tokensource.Endpoint{Credentials: tokensource.StaticCredentials("a:b", "c")}, tokensource.ErrCredentials, "colon"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(reply{body: `{"access_token": "tok"}`})
			own := c.endpoint
			own.Provider, own.HTTPClient = "own", e.client()
			switch own.URL {
			case "":
				own.URL = exchangeBase
			case "-":
				own.URL = ""
			}
			if own.Credentials == nil {
				own.Credentials = creds
			}
			_, err := own.Token()
			want := wantError{is: c.is, says: c.says}
			want.Provider = "own"
			checkFailure(t, e, &own, err, want)
			if n := e.GetTotalCallCount(); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
		})
	}
}

// What the caller configured stays as it was, and the defaults are filled in.
func TestEndpointLeavesItsConfigurationAlone(t *testing.T) {
	e := newEndpoint(reply{body: `{"access_token": "tok"}`})
	own := &tokensource.Endpoint{
		URL: exchangeBase + "/token", Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: e.client(),
		Header: http.Header{"x-Tenant": {"7"}}, Form: url.Values{"scope": {"all"}},
	}
	tok, err := own.Token()
	if err != nil || !tok.Expiry.IsZero() {
		t.Fatalf("token %v, error %v, want one without an expiry", tok, err)
	}
	if len(own.Header) != 1 || len(own.Form) != 1 {
		t.Errorf("the configuration became %v, %v", own.Header, own.Form)
	}
	//lint:ignore SA1008 the spelling is the point
	if string(e.sent) != "grant_type=client_credentials&scope=all" || e.request.Header["x-Tenant"] == nil {
		t.Errorf("sent %q with %q", e.sent, e.request.Header)
	}
	own.Form, own.JSON, own.IDField, own.SecretField = nil, map[string]any{"x": 1}, "i", "s"
	if _, err := own.Token(); err != nil || len(own.JSON) != 1 || len(bodyFields(t, e.request, e.sent)) != 3 {
		t.Errorf("error %v; JSON became %v, sent %s", err, own.JSON, e.sent)
	}
	own.URL = "http://tokens.example"
	if _, err := own.Token(); !strings.HasPrefix(err.Error(), "tokensource: URL: plain http") {
		t.Errorf("error is %v", err)
	}
}

// A global DefaultTransport that is a Transport of this package must not wait
// for its own token to fetch it.
func TestTokenRequestPassesATransportUnderneath(t *testing.T) {
	e := newEndpoint(reply{body: `{"access_token": "tok"}`})
	under := &tokensource.Transport{Base: e}
	own := &tokensource.Endpoint{URL: exchangeBase, Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: &http.Client{Transport: under}, IDField: "i", SecretField: "s"}
	under.Source = &tokensource.Cache{Source: own, FetchTimeout: time.Second}
	if tok, err := own.Token(); err != nil || tok.AccessToken != "tok" || e.request.Header.Get("Authorization") != "" {
		t.Errorf("token %v, error %v", tok, err)
	}
}

// A literal is a provider like the others to NewClient: its origin gets the
// token, no other does. A nil pointer in its place is an error, not a crash.
func TestEndpointAsAProvider(t *testing.T) {
	e := newEndpoint(reply{body: `{"access_token": "tok"}`})
	own := &tokensource.Endpoint{URL: exchangeBase + "/token", Credentials: tokensource.StaticCredentials(testID, testSecret), HTTPClient: e.client(), Lifetime: time.Hour}
	client := tokensource.NewClient(own)
	api := newEndpoint(reply{})
	client.Transport.(*tokensource.Transport).Base = api
	resp, err := client.Post(exchangeBase+"/orders", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := api.request.Header.Get("Authorization"); got != "Bearer tok" {
		t.Errorf("Authorization is %q", got)
	}
	own.Credentials = nil
	if _, err := own.Token(); !strings.HasPrefix(err.Error(), "tokensource: tokens.example: ") {
		t.Errorf("error is %v, want the URL's host as the provider", err)
	}
	if _, err := (&tokensource.Cache{Source: (*tokensource.Blink)(nil), FetchTimeout: time.Second}).Token(); err == nil {
		t.Error("no error from a nil pointer")
	}
}

// A slow answer is older than it looks, and a monotonic reading would stand
// still while the machine is suspended.
func TestLifetimeCountsFromBeforeTheRequest(t *testing.T) {
	everyExchange(t, "slow answer", func(t *testing.T, x exchange) {
		start := time.Now()
		e := newEndpoint(reply{body: `{"access_token": "tok", "expires_in": 120}`, delay: 5 * time.Second, pause: 10 * time.Millisecond})
		tok, err := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client()).Token()
		if err != nil {
			t.Fatal(err)
		}
		if tok.Expiry.After(start.Add(2 * time.Minute)) {
			t.Errorf("expires %v after the request, want 2m at most", tok.Expiry.Sub(start))
		}
	})
	for _, x := range exchanges { // virtual time has no monotonic reading
		t.Run("wall clock/"+x.name, func(t *testing.T) {
			e := newEndpoint(reply{body: `{"access_token": "tok", "expires_in": 120}`})
			tok, err := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client()).Token()
			if err != nil || tok.Expiry != tok.Expiry.Round(0) {
				t.Errorf("expiry %v, error %v, want a time without a monotonic reading", tok.Expiry, err)
			}
		})
	}
}
