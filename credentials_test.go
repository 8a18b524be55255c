package tokensource_test

// Where the id and the secret come from, and that they go nowhere but to the
// token endpoint.

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tokensource-go/tokensource"
)

// Every character that some encoding on the way has its own idea about.
const (
	testID     = `test-id-7d2+%&/ é"<\=`
	testSecret = `test-secret-91ab+%&/ é"<\=`
	echoToken  = "test-token-c04e"
)

// secretForms are the guises in which the secrets travel or are quoted.
func secretForms() map[string]string {
	forms := map[string]string{
		"token":             echoToken,
		"Basic":             base64.StdEncoding.EncodeToString([]byte(testID + ":" + testSecret)),
		"Basic, no padding": base64.RawStdEncoding.EncodeToString([]byte(testID + ":" + testSecret)),
	}
	for name, s := range map[string]string{"id": testID, "secret": testSecret} {
		inJSON, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		forms[name] = s
		forms[name+" in a form"] = url.QueryEscape(s)
		forms[name+" in a path"] = url.PathEscape(s)
		forms[name+" in JSON"] = strings.Trim(string(inJSON), `"`)
		forms[name+" quoted"] = strings.Trim(strconv.Quote(s), `"`)
	}
	return forms
}

// checkNoSecrets prints an error and its source in every way.
func checkNoSecrets(t *testing.T, src any, err error) {
	t.Helper()
	var e *tokensource.Error
	errors.As(err, &e)
	for _, v := range []any{src, err, e} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			text := fmt.Sprintf(verb, v)
			for name, secret := range secretForms() {
				if strings.Contains(text, secret) {
					t.Fatalf("%s of %T shows the %s: %s", verb, v, name, text)
				}
			}
		}
	}
}

// A hostile or careless server sends back what it got: google-api-go-client#548
// (the token in an error's URL), toolhive#5082 (the body in an error).
func TestEchoedSecretsAreRedacted(t *testing.T) {
	for name, secret := range secretForms() {
		if name == "token" { // not part of the request; a refresh's is in TestBlinkRefreshEcho
			continue
		}
		quoted, err := json.Marshal("got <" + secret + ">!")
		if err != nil {
			t.Fatal(err)
		}
		everyExchange(t, name, func(t *testing.T, x exchange) {
			for _, shape := range []string{
				`{"error": %s}`, `{"error": "x", "error_description": %s}`, `{"success": false, "message": %s}`,
				`{"errorCode": %s, "errorSummary": "x"}`, `{"errorCode": "x", "errorSummary": %s}`,
				`{"access_token": {"x": %s}}`, `{"access_token": "\u0000", "message": %s}`, `[%s]`, `<html>%s</html>`, `%s`,
			} {
				for _, status := range []int{200, 400, 401, 500} {
					e := newEndpoint(reply{status: status, body: fmt.Sprintf(shape, quoted)})
					src := x.source(exchangeBase, tokensource.StaticCredentials(testID, testSecret), e.client())
					_, err := src.Token()
					if err == nil {
						t.Fatalf("no error from %s", shape)
					}
					checkNoSecrets(t, src, err)
				}
			}
		})
	}
}

// What is no HTTP answer is quoted by net/http's error.
func TestEchoInABrokenAnswerIsRedacted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprint(conn, <-answers)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-served })
	for name, secret := range secretForms() {
		if name == "token" {
			continue
		}
		for _, format := range []string{"%s\r\n\r\n", "HTTP/1.1 %s\r\n\r\n", "HTTP/1.1 200 OK\r\n%s\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n"} {
			for _, x := range exchanges {
				t.Run(fmt.Sprintf("%s in %q/%s", name, format, x.name), func(t *testing.T) {
					transport := &http.Transport{DisableKeepAlives: true}
					src := x.source("http://"+listener.Addr().String(), tokensource.StaticCredentials(testID, testSecret), &http.Client{Transport: transport})
					go func() { answers <- fmt.Sprintf(format, secret) }()
					_, err := src.Token()
					if err == nil {
						t.Fatal("no error")
					}
					checkNoSecrets(t, src, err)
				})
			}
		}
	}
}

// A pair that is not there is found before anything is sent.
func TestMissingCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	id, empty, newline, absent := write("id", testID), write("empty", ""), write("newline", "\r\n"), filepath.Join(dir, "absent")
	t.Setenv("TEST_TOKEN_ID", testID)
	t.Setenv("TEST_TOKEN_EMPTY", "")
	outage := errors.New("the vault is sealed")

	for _, c := range []struct {
		name  string
		creds tokensource.Credentials
		is    error
		says  string
	}{
		{"none", nil, tokensource.ErrCredentials, "set the Credentials field"},
		{"empty id", tokensource.StaticCredentials("", testSecret), tokensource.ErrCredentials, "empty id or secret"},
		{"empty secret", tokensource.StaticCredentials(testID, ""), tokensource.ErrCredentials, "empty id or secret"},
		{"own func fails", func(context.Context) (string, string, error) { return testID, testSecret, outage }, outage, "the vault is sealed"},
		{"variable of the id unset", tokensource.EnvCredentials("TEST_TOKEN_UNSET", "TEST_TOKEN_ID"), tokensource.ErrCredentials, "TEST_TOKEN_UNSET is not set"},
		{"variable of the secret unset", tokensource.EnvCredentials("TEST_TOKEN_ID", "TEST_TOKEN_UNSET"), tokensource.ErrCredentials, "TEST_TOKEN_UNSET is not set"},
		{"variable empty", tokensource.EnvCredentials("TEST_TOKEN_ID", "TEST_TOKEN_EMPTY"), tokensource.ErrCredentials, "TEST_TOKEN_EMPTY is not set"},
		{"file of the id missing", tokensource.FileCredentials(absent, id), fs.ErrNotExist, absent},
		{"file of the secret missing", tokensource.FileCredentials(id, absent), tokensource.ErrCredentials, absent},
		{"file empty", tokensource.FileCredentials(id, empty), tokensource.ErrCredentials, empty + " is empty"},
		{"file of a newline", tokensource.FileCredentials(newline, id), tokensource.ErrCredentials, newline + " is empty"},
		{"directory", tokensource.FileCredentials(id, dir), tokensource.ErrCredentials, dir},
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			want := wantError{is: c.is, says: c.says}
			if c.is == fs.ErrNotExist {
				want.is = tokensource.ErrCredentials
			}
			checkNotSent(t, x, exchangeBase, c.creds, want)
			if _, err := x.source(exchangeBase, c.creds, nil).Token(); !errors.Is(err, c.is) {
				t.Errorf("%v does not wrap %v", err, c.is)
			}
		})
	}

	// HTTP Basic has no way to carry a colon in the id; the others do.
	everyExchange(t, "colon in the id", func(t *testing.T, x exchange) {
		creds := tokensource.StaticCredentials("te:st-id", testSecret)
		if x.name == "Flinks" || x.name == "Blackhawk" {
			checkNotSent(t, x, exchangeBase, creds, wantError{is: tokensource.ErrCredentials, says: "colon"})
		} else if _, err := x.source(exchangeBase, creds, newEndpoint(reply{body: `{"access_token": "tok"}`}).client()).Token(); err != nil {
			t.Error(err)
		}
	})
}

func TestRotatedCredentials(t *testing.T) {
	dir := t.TempDir()
	// A mounted secret is a link to a directory that is replaced as a whole.
	mount := func(id, secret string) {
		version, err := os.MkdirTemp(dir, "version")
		if err != nil {
			t.Fatal(err)
		}
		next := filepath.Join(dir, "next")
		err = errors.Join(
			os.WriteFile(filepath.Join(version, "id"), []byte(id), 0o600),
			os.WriteFile(filepath.Join(version, "secret"), []byte(secret), 0o600),
			os.Symlink(version, next),
			os.Rename(next, filepath.Join(dir, "current")),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	var pair [2]string
	for _, c := range []struct {
		name   string
		creds  tokensource.Credentials
		rotate func(id, secret string)
	}{
		{"environment", tokensource.EnvCredentials("TEST_TOKEN_ID", "TEST_TOKEN_SECRET"), func(id, secret string) {
			t.Setenv("TEST_TOKEN_ID", id)
			t.Setenv("TEST_TOKEN_SECRET", secret)
		}},
		{"files", tokensource.FileCredentials(filepath.Join(dir, "current", "id"), filepath.Join(dir, "current", "secret")), mount},
		{"files with a newline at the end", tokensource.FileCredentials(filepath.Join(dir, "current", "id"), filepath.Join(dir, "current", "secret")), func(id, secret string) {
			mount(id+"\n", secret+"\r\n")
		}},
		{"own func", func(context.Context) (string, string, error) { return pair[0], pair[1], nil }, func(id, secret string) {
			pair = [2]string{id, secret}
		}},
	} {
		everyExchange(t, c.name, func(t *testing.T, x exchange) {
			e := newEndpoint(reply{body: `{"access_token": "tok"}`})
			src := x.source(exchangeBase, c.creds, e.client())
			for _, want := range [][2]string{{"first id", " first secret "}, {"second id", "second secret"}, {testID, testSecret}} {
				c.rotate(want[0], want[1])
				if _, err := src.Token(); err != nil {
					t.Fatal(err)
				}
				if id, secret := sentPair(t, e); id != want[0] || secret != want[1] {
					t.Errorf("sent %q %q, want %q", id, secret, want)
				}
			}
		})
	}
}

// sentPair finds the credentials where the request has them.
func sentPair(t *testing.T, e *fakeEndpoint) (id, secret string) {
	t.Helper()
	if id, secret, ok := e.request.BasicAuth(); ok {
		return id, secret
	}
	fields := bodyFields(t, e.request, e.sent)
	if form, ok := fields["Username"].([]string); ok {
		return form[0], fields["Password"].([]string)[0]
	}
	return fields["api_key"].(string), fields["secret_key"].(string)
}

// Credentials get the caller's context, and their token does not show them.
func TestCredentialsContext(t *testing.T) {
	type key struct{}
	everyExchange(t, "context", func(t *testing.T, x exchange) {
		var got any
		creds := func(ctx context.Context) (string, string, error) {
			got = ctx.Value(key{})
			return testID, testSecret, nil
		}
		src := x.source(exchangeBase, creds, newEndpoint(reply{body: `{"access_token": "tok"}`}).client())
		tok, err := src.TokenContext(context.WithValue(t.Context(), key{}, "value"))
		if err != nil || got != "value" {
			t.Errorf("asked with %v, error %v", got, err)
		}
		checkNoSecrets(t, tok, nil)
	})
}

// What editors and shells add is no part of a secret, and both names of a pair
// that is missing are told at once.
func TestTrimmedAndMissingPairs(t *testing.T) {
	t.Setenv("TEST_TOKEN_ID", "\ufeffid\n")
	t.Setenv("TEST_TOKEN_SECRET", " secret \r\n")
	path := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, []byte("\ufeffid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, creds := range map[string]tokensource.Credentials{
		"environment": tokensource.EnvCredentials("TEST_TOKEN_ID", "TEST_TOKEN_SECRET"),
		"files":       tokensource.FileCredentials(path, path),
	} {
		id, secret, err := creds(t.Context())
		if err != nil || id != "id" || secret != "id" && secret != " secret " {
			t.Errorf("%s: %q, %q, %v", name, id, secret, err)
		}
	}
	_, _, err := tokensource.EnvCredentials("TEST_TOKEN_UNSET_1", "TEST_TOKEN_UNSET_2")(t.Context())
	if text := fmt.Sprint(err); !strings.Contains(text, "UNSET_1") || !strings.Contains(text, "UNSET_2") || strings.Contains(text, "\n") || !errors.Is(err, tokensource.ErrCredentials) {
		t.Errorf("error is %q", text)
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	secret := struct{ Key tokensource.Secret }{tokensource.Secret("hunter2-hunter2")}
	inJSON, err := json.Marshal(secret)
	texts := []string{string(inJSON), secret.Key.String(), fmt.Sprint(err)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, secret.Key))
	}
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "key", secret.Key, "struct", secret)
	}
	for _, text := range append(texts, log.String()) {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") || strings.Contains(text, "104 117") || strings.Contains(text, "aHVudGVyM") {
			t.Errorf("shows in %s", text)
		}
	}
}
