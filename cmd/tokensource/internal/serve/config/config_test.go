package config

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokensource-go/tokensource"
)

var builtins = []Builtin{
	{Kind: "blink", IDVar: "BLINK_API_KEY", SecretVar: "BLINK_SECRET_KEY", BaseVar: "BLINK_BASE_URL", BaseURL: "https://blink.example"},
	{Kind: "flinks", IDVar: "FLINKS_USERNAME", SecretVar: "FLINKS_PASSWORD", BaseVar: "FLINKS_BASE_URL"},
	{Kind: "blackhawk", IDVar: "BLACKHAWK_CLIENT_ID", SecretVar: "BLACKHAWK_CLIENT_SECRET", BaseVar: "BLACKHAWK_BASE_URL"},
}

func loader() *Loader {
	return &Loader{Builtins: builtins, Client: func(_, _, _ string, timeout time.Duration) (*http.Client, []byte, error) {
		return &http.Client{Timeout: timeout}, nil, nil
	}}
}

// load reads a file of this text, in a directory that has the files id and
// secret.
func load(t *testing.T, text string) ([]Source, error) {
	t.Helper()
	for _, b := range builtins {
		t.Setenv(b.BaseVar, "")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"c.yaml": text, "id": "file id", "secret": "file secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return loader().File(filepath.Join(dir, "c.yaml"))
}

// A provider that is not built in is four lines.
func TestFourLines(t *testing.T) {
	t.Setenv("ACME_ID", "i")
	t.Setenv("ACME_SECRET", "s")
	sources, err := load(t, `sources:
  acme:
    url: https://acme.example/oauth/token
    id_env: ACME_ID
    secret_env: ACME_SECRET
`)
	if err != nil || len(sources) != 1 {
		t.Fatal(sources, err)
	}
	e := sources[0].Provider.Endpoint()
	id, secret, err := e.Credentials(t.Context())
	if sources[0].Name != "acme" || e.Provider != "acme" || e.URL != "https://acme.example/oauth/token" || id+secret != "is" || err != nil {
		t.Errorf("%+v %v", e, err)
	}
}

func TestEveryField(t *testing.T) {
	yaml := `
sources:
  blink:
  legacy: {kind: blink, legacy: true, base_url: https://b.example}
  shop:
    kind: blink
    id_file: id
    secret_file: secret
    timeout: 3s
    early_refresh: 1m
    send_blink_receipt: true
    address_postcode_required: true
    enable_moto_payments: true
    application_name: n
    application_description: d
    source_site: s
  flinks: {base_url: f.example, form_credentials: true, ready: 3}
  eft: {kind: flinks, base_url: https://f.example, reusable: true}
  blackhawk: {base_url: h.example, scope: a b, token_path: /authentication/auth}
  acme:
    kind: endpoint
    url: https://acme.example/t
    id_env: A
    secret_env: B
    id_field: user
    secret_field: pass
    form: {grant_type: password, scope: [x, y]}
    header: {X-Api-Version: 2, X-Languages: [en, de]}
    lifetime: 10m
    single_use: true
    ready: 1
    retry_codes: [BUSY]
  json:
    url: https://acme.example/t
    id_env: A
    secret_env: B
    id_field: user
    secret_field: pass
    json: {a: {b: [1, true]}}
`
	sources, err := load(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Source{}
	for _, s := range sources {
		byName[s.Name] = s
	}
	if len(byName) != 8 {
		t.Fatalf("%d sources", len(byName))
	}
	shop := byName["shop"].Provider.(*tokensource.Blink)
	if id, secret, _ := shop.Credentials(t.Context()); id+secret != "file idfile secret" {
		t.Error("relative paths are not those of the file's directory")
	}
	if !shop.SendBlinkReceipt || !shop.AddressPostcodeRequired || !shop.EnableMOTOPayments || shop.ApplicationName+shop.ApplicationDescription+shop.SourceSite != "nds" ||
		shop.HTTPClient.Timeout != 3*time.Second || byName["shop"].EarlyRefresh != time.Minute {
		t.Errorf("%+v", shop)
	}
	if b := byName["blink"].Provider.(*tokensource.Blink); b.BaseURL != "https://blink.example" || b.HTTPClient.Timeout != 15*time.Second || b.Legacy {
		t.Errorf("%+v", b)
	}
	if b := byName["legacy"].Provider.(*tokensource.Blink); !b.Legacy || b.BaseURL != "https://b.example" {
		t.Errorf("%+v", b)
	}
	if e := byName["flinks"].Provider.Endpoint(); e.IDField != "Username" || !e.SingleUse || byName["flinks"].Ready != 3 {
		t.Errorf("%+v", e)
	}
	if e := byName["eft"].Provider.Endpoint(); e.IDField != "" || e.SingleUse {
		t.Errorf("%+v", e)
	}
	if b := byName["blackhawk"].Provider.(*tokensource.Blackhawk); b.Scope != "a b" || b.TokenPath != "/authentication/auth" || byName["blackhawk"].Scope != "a b" {
		t.Errorf("%+v", b)
	}
	e := byName["acme"].Provider.Endpoint()
	if e.IDField+e.SecretField != "userpass" || e.Form.Encode() != "grant_type=password&scope=x&scope=y" || e.Lifetime != 10*time.Minute || !e.SingleUse ||
		e.Header["X-Api-Version"][0] != "2" || len(e.Header["X-Languages"]) != 2 || e.RetryCodes[0] != "BUSY" || byName["acme"].Ready != 1 {
		t.Errorf("%+v", e)
	}
	if j := byName["json"].Provider.Endpoint().JSON["a"].(map[string]any)["b"].([]any); len(j) != 2 || j[1] != true {
		t.Errorf("%+v", j)
	}
}

func TestJSONFile(t *testing.T) {
	sources, err := load(t, "{\n\t\"sources\": {\n\t\t\"acme\": {\"url\": \"https://acme.example/t\", \"id_env\": \"A\", \"secret_env\": \"B\", \"form\": {\"a\": \"b\"}}\n\t}\n}\n")
	if err != nil || len(sources) != 1 || sources[0].Provider.Endpoint().Form.Get("a") != "b" {
		t.Fatal(sources, err)
	}
}

const acme = "sources:\n  acme:\n    url: https://acme.example/t\n    id_env: A\n    secret_env: B\n" // 5 lines

func TestMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"two mistakes":                      {"sources:\n  b:\n    kind: x\n  a:\n    kind: x\n", "c.yaml:5: sources.a.kind"},
		"a name with a dash":                {"sources:\n  a-1_b:\n    id_env: A\n    secret_env: B\n    url: hunter2\n", "c.yaml:5: sources.a-1_b.url"},
		"empty":                             {"", "c.yaml:1:"},
		"no YAML":                           {"sources: [\n", "c.yaml:"},
		"no sources":                        {"sources: {}\n", "c.yaml:1: sources: there are none"},
		"an unknown field at the top":       {"listen: x\n" + acme, "c.yaml:1: listen: unknown field"},
		"an unknown field":                  {acme + "    colour: red\n", "c.yaml:6: sources.acme.colour: unknown field"},
		"several unknown fields":            {acme + "    e: 1\n    d: 1\n    c: 1\n    b: 1\n    a: 1\n", "c.yaml:6: sources.acme.e: unknown field"},
		"another kind's field":              {"sources:\n  blink:\n    url: https://x\n", "c.yaml:3: sources.blink.url: unknown field"},
		"a literal secret":                  {acme + "    secret: hunter2hunter2\n", "c.yaml:6: sources.acme.secret: unknown field"},
		"a field twice":                     {acme + "    id_env: C\n", "c.yaml:6"},
		"a source twice":                    {acme + "  acme:\n    url: https://x\n", "c.yaml:6"},
		"a list for a text":                 {"sources:\n  acme:\n    url: [https://x]\n", "c.yaml:3:10: sources.acme.url: a value of another type"},
		"a text for a number":               {acme + "    ready: hunter2\n", "c.yaml:6:12: sources.acme.ready: a value of another type"},
		"a list of sources":                 {"sources:\n  - acme\n", "c.yaml:2"},
		"a text for a source":               {"sources:\n  acme: hunter2\n", "c.yaml:2: sources.acme: not a mapping"},
		"a name with a slash":               {"sources:\n  a/b:\n    url: https://x\n", "c.yaml:3: sources: a name is"},
		"an unknown kind":                   {"sources:\n  a:\n    kind: oracle\n", "c.yaml:3: sources.a.kind: it is one of blink"},
		"no credentials":                    {"sources:\n  a:\n    url: https://x\n", "sources.a: there are no credentials"},
		"half the credentials":              {"sources:\n  a:\n    url: https://x\n    id_env: A\n", "c.yaml:4: sources.a.id_env: id_env and secret_env"},
		"credentials of two kinds":          {acme + "    id_file: id\n", "c.yaml:4: sources.acme.id_env: the credentials come"},
		"a file that is not there":          {"sources:\n  a:\n    url: https://x\n    id_file: id\n    secret_file: hunter2\n", "c.yaml:5: sources.a.secret_file: no such file"},
		"no address":                        {"sources:\n  a:\n    id_env: A\n    secret_env: B\n", "sources.a.url: not set"},
		"no address of Flinks":              {"sources:\n  flinks:\n", "c.yaml:2: sources.flinks.base_url: flinks has no public address"},
		"an address that is none":           {"sources:\n  a:\n    id_env: A\n    secret_env: B\n    url: hunter2\n", "c.yaml:5: sources.a.url: not a URL"},
		"a password in the address":         {"sources:\n  a:\n    id_env: A\n    secret_env: B\n    url: https://a:hunter2@x\n", "c.yaml:5: sources.a.url: only scheme"},
		"plain http to elsewhere":           {"sources:\n  a:\n    id_env: A\n    secret_env: B\n    url: http://acme.example\n", "c.yaml:5: sources.a.url: plain http"},
		"seconds without a unit":            {acme + "    lifetime: 600\n", "c.yaml:6:15: sources.acme.lifetime: a duration has a unit"},
		"a negative duration":               {acme + "    timeout: -1s\n", "c.yaml:6: sources.acme.timeout: a duration"},
		"form and json":                     {acme + "    form: {a: b}\n    json: {a: b}\n", "c.yaml:7: sources.acme.json: the body"},
		"one field of two":                  {acme + "    id_field: user\n", "c.yaml:6: sources.acme.id_field: id_field and secret_field"},
		"a header of the endpoint's":        {acme + "    header: {authorization: hunter2}\n", "c.yaml:6: sources.acme.header: Authorization is set"},
		"ready tokens of a shared one":      {acme + "    ready: 2\n", "c.yaml:6: sources.acme.ready: tokens are kept ready of single-use"},
		"too many ready tokens":             {"sources:\n  flinks:\n    base_url: https://x\n    ready: 5000\n", "c.yaml:4: sources.flinks.ready: it is 0 to 1000"},
		"single use of unknown length":      {acme + "    single_use: true\n", "c.yaml:6: sources.acme.single_use: it needs"},
		"options of the other Blink":        {"sources:\n  blink:\n    legacy: true\n    source_site: x\n", "c.yaml:3: sources.blink.legacy: the legacy API"},
		"two documents":                     {acme + "---\nsources: {}\n", "c.yaml:7: a second document"},
		"JSON that ends in the middle":      {`{"sources": {"a": {"url": "https://x"`, "c.yaml:"},
		"an alias that multiplies":          {"a: &a [x,x]\nb: &b [*a,*a]\n" + acme, ": unknown field"},
		"a key that is no text":             {"sources:\n  [1]:\n    url: x\n", "c.yaml:2"},
		"a tab":                             {"sources:\n\tacme:\n", "c.yaml:"},
		"not UTF-8":                         {"sources:\n  a:\n    url: \xff\xfe\n", "c.yaml:"},
		"a value that breaks over lines":    {"sources:\n  acme:\n    url: \"https://x\n", "c.yaml:"},
		"a source's mapping instead of one": {"sources:\n  acme:\n    url: {a: b}\n    id_env: A\n", "c.yaml:3"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, b := range builtins {
		for _, v := range []string{b.IDVar, b.SecretVar, b.BaseVar} {
			t.Setenv(v, "")
		}
	}
	if _, err := loader().Environment(); err == nil || !strings.Contains(err.Error(), "BLINK_API_KEY and BLINK_SECRET_KEY") {
		t.Errorf("nothing set: %v", err)
	}
	t.Setenv("BLINK_API_KEY", "i")
	t.Setenv("BLINK_SECRET_KEY", "s")
	t.Setenv("FLINKS_USERNAME", "i") // half of it
	sources, err := loader().Environment()
	if err != nil || len(sources) != 1 || sources[0].Name != "blink" {
		t.Fatal(sources, err)
	}
	t.Setenv("FLINKS_PASSWORD", "s")
	if _, err := loader().Environment(); err == nil || !strings.Contains(err.Error(), "FLINKS_BASE_URL") {
		t.Errorf("Flinks without an address: %v", err)
	}
	t.Setenv("FLINKS_BASE_URL", "https://f.example")
	if sources, err := loader().Environment(); err != nil || len(sources) != 2 {
		t.Error(sources, err)
	}
}
