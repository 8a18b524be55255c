package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource/sandbox"
)

// fake is a sandbox as the command meets it: an address and a CA file.
type fake struct {
	*sandbox.Sandbox
	caFile string
}

func newFake(t *testing.T, config sandbox.Config) *fake {
	sb := sandbox.New(config)
	t.Cleanup(sb.Close)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(sb.URL, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return &fake{sb, writePEM(t, "CERTIFICATE", conn.ConnectionState().PeerCertificates[0].Raw)}
}

// serve is another server, for what the sandbox does not tell.
func serve(t *testing.T, handler http.HandlerFunc) (url, caFile string) {
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server.URL, writePEM(t, "CERTIFICATE", server.Certificate().Raw)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// token runs the command against the sandbox.
func (f *fake) token(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return cli(t, append(append([]string{"token"}, args...), "--base-url", f.URL, "--ca-file", f.caFile)...)
}

func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, &out, &errs, nil)
	return code, out.String(), errs.String()
}

// setCredentials also gives the test a cache directory of its own.
func setCredentials(t *testing.T, id, secret string) {
	t.Helper()
	setHome(t, t.TempDir())
	for _, p := range providers() {
		t.Setenv(p.idVar, id)
		t.Setenv(p.secretVar, secret)
		t.Setenv(p.baseVar, "")
	}
}

// accepted reports whether a provider's API takes the Authorization header.
func (f *fake) accepted(t *testing.T, p sandbox.Provider, authorization string) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.APIURL(p), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := f.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

var tokenText = regexp.MustCompile(`^(\S*` + sandbox.TokenMark + `|` + sandbox.FlinksTokenMark + `)\S+\n$`)

func TestTokenOfEachProvider(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	sb := newFake(t, sandbox.Config{TokenLifetime: 300 * time.Second, FlinksReusable: true})
	for name, tt := range map[string]struct {
		args     []string
		provider sandbox.Provider
	}{
		"blink":                    {[]string{"blink"}, sandbox.Blink},
		"blink legacy":             {[]string{"blink", "--legacy"}, sandbox.BlinkLegacy},
		"flinks":                   {[]string{"flinks"}, sandbox.Flinks},
		"flinks, form credentials": {[]string{"flinks", "--form-credentials"}, sandbox.Flinks},
		"flinks, reusable":         {[]string{"flinks", "--reusable"}, sandbox.Flinks},
		"blackhawk":                {[]string{"blackhawk"}, sandbox.Blackhawk},
		"blackhawk, other path":    {[]string{"blackhawk", "--token-path", "/authentication/auth", "--scope", "a b"}, sandbox.Blackhawk},
	} {
		t.Run(name, func(t *testing.T) {
			get := func(format ...string) string {
				t.Helper()
				code, stdout, stderr := sb.token(t, append(tt.args, format...)...)
				if code != exitOK || stderr != "" {
					t.Fatalf("exit code %d, stderr %q", code, stderr)
				}
				return stdout
			}
			token := get()
			if !tokenText.MatchString(token) {
				t.Errorf("stdout is not the token alone: %q", token)
			}
			if !sb.accepted(t, tt.provider, "Bearer "+strings.TrimSpace(token)) {
				t.Error("the API does not take the token")
			}
			header, ok := strings.CutPrefix(get("-o", "header"), "Authorization: ")
			if header, newline := strings.CutSuffix(header, "\n"); !ok || !newline || !sb.accepted(t, tt.provider, header) {
				t.Errorf("not a header that the API takes: %q", header)
			}
			before := time.Now().Add(-time.Second) // expiries are whole seconds
			var got map[string]any
			if err := json.Unmarshal([]byte(get("--output", "json")), &got); err != nil {
				t.Fatal(err)
			}
			expiry, err := time.Parse(time.RFC3339, got["expiry"].(string))
			if life := expiry.Sub(before); err != nil || life < 299*time.Second || expiry.After(time.Now().Add(300*time.Second)) {
				t.Errorf("expiry %v: %v", got["expiry"], err)
			}
			if in := got["expires_in"].(float64); in > 300 || in != float64(int(in)) || time.Now().Add(time.Duration(in)*time.Second).Before(expiry.Add(-time.Second)) {
				t.Errorf("expires_in %v", in)
			}
			if got["version"] != 1.0 || got["success"] != true || got["expiration_time"] != float64(expiry.Unix()) {
				t.Errorf("not what credential helpers print: %v", got)
			}
			if !tokenText.MatchString(got["access_token"].(string)+"\n") || got["token_type"] != "Bearer" || len(got) != 7 {
				t.Errorf("%v", got)
			}
		})
	}
}

// The flags that the sandbox has no opinion on arrive on the wire.
func TestTokenFlagsOnTheWire(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	for name, tt := range map[string]struct {
		args []string
		want []string // in the request
	}{
		"blink's options": {
			[]string{"blink", "--send-blink-receipt", "--address-postcode-required", "--enable-moto-payments",
				"--application-name", "shop", "--application-description", "a shop", "--source-site", "shop.example"},
			[]string{"POST /api/pay/v1/tokens", `"send_blink_receipt":true`, `"address_postcode_required":true`, `"enable_moto_payments":true`,
				`"application_name":"shop"`, `"application_description":"a shop"`, `"source_site":"shop.example"`},
		},
		"blink, legacy":            {[]string{"blink", "--legacy"}, []string{"POST /api/v1/pay/token"}},
		"flinks, Basic":            {[]string{"flinks"}, []string{"POST /api/v1/authorize", "Basic c2FuZGJveC"}},
		"flinks, form credentials": {[]string{"flinks", "--form-credentials"}, []string{"Username=" + sandbox.ID, "Password=" + sandbox.Secret}},
		"blackhawk's scope":        {[]string{"blackhawk", "--scope", "a b"}, []string{"POST /api/auth", "scope=a+b"}},
		"blackhawk's path":         {[]string{"blackhawk", "--token-path", "/x/auth"}, []string{"POST /x/auth"}},
	} {
		t.Run(name, func(t *testing.T) {
			var wire string
			url, caFile := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				wire = fmt.Sprint(r.Method, " ", r.URL, "\n", r.Header, "\n", string(body), err)
				io.WriteString(w, `{"access_token": "wire-token"}`)
			})
			code, stdout, stderr := cli(t, append(append([]string{"token"}, tt.args...), "--base-url", url, "--ca-file", caFile)...)
			if code != exitOK || stdout != "wire-token\n" || stderr != "" {
				t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(wire, want) {
					t.Errorf("no %q in %q", want, wire)
				}
			}
		})
	}
}

func TestTokenBaseURLFromTheEnvironment(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	sb := newFake(t, sandbox.Config{})
	for _, p := range providers() {
		t.Setenv(p.baseVar, sb.URL)
		if code, stdout, stderr := cli(t, "token", p.name, "--ca-file", sb.caFile); code != exitOK || stdout == "" {
			t.Errorf("%s: exit code %d, %s", p.name, code, stderr)
		}
	}
}

func TestTokenCredentialFiles(t *testing.T) {
	setCredentials(t, "", "")
	sb := newFake(t, sandbox.Config{})
	id, secret := writeFile(t, sandbox.ID+"\n"), writeFile(t, sandbox.Secret+"\r\n")
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"both":           {[]string{"--id-file", id, "--secret-file", secret}, exitOK, ""},
		"one of them":    {[]string{"--id-file", id}, exitUsage, "go together"},
		"the other":      {[]string{"--secret-file", secret}, exitUsage, "go together"},
		"absent":         {[]string{"--id-file", id, "--secret-file", secret + "x"}, exitCredentials, "--secret-file: no such file"},
		"empty":          {[]string{"--id-file", id, "--secret-file", writeFile(t, "\n")}, exitCredentials, "is empty"},
		"wrong":          {[]string{"--id-file", id, "--secret-file", writeFile(t, "not-this-one")}, exitCredentials, "401"},
		"no credentials": {nil, exitCredentials, "BLACKHAWK_CLIENT_ID is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := sb.token(t, append([]string{"blackhawk"}, tt.args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || (code != exitOK) != (stdout == "") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if strings.Contains(stderr, "not-this-one") {
				t.Errorf("the secret is on stderr: %q", stderr)
			}
		})
	}
}

func TestTokenExitCodes(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	_, otherCA := serve(t, nil)
	answer := func(status int) *sandbox.Fault { return &sandbox.Fault{Status: status} }
	for name, tt := range map[string]struct {
		fault *sandbox.Fault
		args  []string
		code  int
		says  string
	}{
		"rejected credentials":     {answer(401), nil, exitCredentials, "credentials"},
		"no access":                {answer(403), nil, exitCredentials, "credentials"},
		"outage":                   {answer(503), nil, exitTemporary, "try again later"},
		"rate limit":               {&sandbox.Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}}, nil, exitTemporary, "retry after 1m0s"},
		"broken connection":        {&sandbox.Fault{Break: true}, nil, exitTemporary, "EOF"},
		"too slow":                 {&sandbox.Fault{Delay: time.Minute}, []string{"--timeout", "50ms"}, exitTemporary, "blink: "},
		"an HTML page":             {&sandbox.Fault{Body: "<html>"}, nil, exitTemporary, "an HTML page"},
		"nobody there":             {nil, []string{"--base-url", "https://127.0.0.1:1"}, exitTemporary, "refused"},
		"refused request":          {answer(400), nil, exitOther, "refused the request"},
		"not found":                {answer(404), nil, exitUsage, "check --base-url"},
		"redirect":                 {&sandbox.Fault{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, nil, exitUsage, "redirects are not followed"},
		"another authority":        {nil, []string{"--ca-file", otherCA}, exitUsage, "--ca-file"},
		"an unknown host":          {nil, []string{"--base-url", "https://blink.invalid"}, exitTemporary, "blink.invalid"},
		"plain http":               {nil, []string{"--base-url", "http://blink.example"}, exitUsage, "use https"},
		"no URL":                   {nil, []string{"--base-url", "https://"}, exitUsage, "not a URL"},
		"legacy takes no options":  {nil, []string{"--legacy", "--source-site", "x"}, exitUsage, "takes no options"},
		"unknown format":           {nil, []string{"-o", "yaml"}, exitUsage, "token, json, header"},
		"no timeout":               {nil, []string{"--timeout", "0s"}, exitUsage, "--timeout"},
		"a CA file without any":    {nil, []string{"--ca-file", writeFile(t, "x")}, exitUsage, "no PEM certificate"},
		"a CA file that is absent": {nil, []string{"--ca-file", "/does/not/exist"}, exitUsage, "no such file"},
		"a key alone":              {nil, []string{"--key", "key.pem"}, exitUsage, "--cert"},
		"a bad certificate":        {nil, []string{"--cert", writeFile(t, "x")}, exitUsage, "--cert"},
	} {
		t.Run(name, func(t *testing.T) {
			sb := newFake(t, sandbox.Config{})
			if tt.fault != nil {
				sb.Always(sandbox.Blink, sandbox.Token, *tt.fault)
			}
			// The flags of the case come last and win.
			code, stdout, stderr := cli(t, append([]string{"token", "blink", "--base-url", sb.URL, "--ca-file", sb.caFile}, tt.args...)...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if !strings.HasPrefix(stderr, "tokensource: ") || strings.Contains(stderr, sandbox.Secret) || strings.Contains(stderr, sandbox.ID) {
				t.Errorf("stderr %q", stderr)
			}
			if hint := strings.Contains(stderr, "see: tokensource token blink --help"); hint != (code == exitUsage) {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestTokenCommandLine(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"no provider":      {[]string{"token"}, "blink, flinks or blackhawk"},
		"unknown provider": {[]string{"token", "visa"}, "unknown command"},
		"unknown command":  {[]string{"tokens"}, "unknown command"},
		"no address":       {[]string{"token", "flinks"}, "FLINKS_BASE_URL"},
		"another's option": {[]string{"token", "flinks", "--legacy"}, "unknown flag --legacy"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := cli(t, tt.args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

// Who puts a secret on the command line is told no, without an echo.
func TestTokenSecretOnTheCommandLine(t *testing.T) {
	setCredentials(t, "", "")
	const secret = "S3cret-on-argv"
	for _, args := range [][]string{
		{"blink", "--secret", secret}, {"blink", "--secret-key=" + secret}, {"blink", "--api-key", secret},
		{"flinks", "--password", secret}, {"blackhawk", "--client-secret", secret},
		{"blink", secret}, {secret}, {"blink", "-s" + secret}, {"blink", "-S3cret-on-argv"}, {"blink", "--=" + secret},
		{"blink", "--timeout", secret}, {"blink", "--legacy=" + secret}, {"blink", "-o", secret},
		{"blink", "--id-file", secret, "--secret-file", secret},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			code, stdout, stderr := cli(t, append([]string{"token"}, args...)...)
			if code == exitOK || stdout != "" || strings.Contains(stderr, secret) || strings.Contains(stderr, secret[1:]) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestTokenMutualTLS(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	sb := newFake(t, sandbox.Config{RequireClientCert: true})
	pair := sb.Client().Transport.(*http.Transport).TLSClientConfig.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for name, args := range map[string][]string{
		"two files": {"--cert", writeFile(t, string(certPEM)), "--key", writeFile(t, string(keyPEM))},
		"one file":  {"--cert", writeFile(t, string(certPEM)+string(keyPEM))},
	} {
		t.Run(name, func(t *testing.T) {
			if code, stdout, stderr := sb.token(t, append([]string{"blackhawk"}, args...)...); code != exitOK || stdout == "" {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
		})
	}
	// Nor is the token good that was kept for who has the certificate.
	if code, stdout, stderr := sb.token(t, "blackhawk"); code != exitUsage || stdout != "" || !strings.Contains(stderr, "certificate") {
		t.Errorf("without a certificate: exit code %d, stderr %q", code, stderr)
	}
}

func TestTokenInterrupted(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	ctx, interrupt := context.WithCancel(t.Context())
	url, caFile := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then the server does not see that the client has left
		interrupt()
		<-r.Context().Done()
	})
	var stdout, stderr strings.Builder
	code := run(ctx, []string{"token", "blink", "--base-url", url, "--ca-file", caFile}, &stdout, &stderr, nil)
	if code != exitInterrupted || stdout.Len() > 0 || stderr.String() != "tokensource: interrupted\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
}
