// Package page is the status page of tokensource serve: for each source its
// token, what is wrong, when the next attempt is, and the last hour. It is
// rendered on the server, needs no script, and shows no secret or token.
//
// The caller mounts [Handler], puts a login before it and answers with [Login]
// if there was none.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/tokensource-go/tokensource"
)

const refreshEvery = 5 * time.Second // holds without a token last 1 to 5 s

// What the form of [Login] posts, relative to the URL that showed it.
const (
	LoginPath   = "login"
	SecretField = "client_secret"
)

// Source is one token source as the page shows it.
type Source struct {
	Name    string
	Cache   *tokensource.Cache
	History *History // required; the Cache's OnEvent feeds it
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed login.html
	loginHTML string
	//go:embed frame.html
	frameHTML string
	//go:embed style.css
	css string

	frame = template.Must(template.New("frame").Funcs(template.FuncMap{
		"css":  func() template.CSS { return template.CSS(css) },
		"icon": func(s state) template.URL { return icons[s] },
	}).Parse(frameHTML))
	pageTemplate  = template.Must(template.Must(frame.Clone()).Parse(pageHTML))
	loginTemplate = template.Must(template.Must(frame.Clone()).Parse(loginHTML))

	policy = "default-src 'none'; style-src 'sha256-" + hash(css) + "'; img-src data:; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// icons are what a browser's tab shows: a shape for each colour.
var icons = map[state]template.URL{
	well:    icon("#17713a", "M4 8.5 7 11.5 12 5"),
	failing: icon("#8a5a00", "M8 3.5V9M8 11.5V12.5"),
	dead:    icon("#b3261e", "M4.5 4.5 11.5 11.5M11.5 4.5 4.5 11.5"),
	idle:    icon("#57606c", "M4 8H12"),
}

func icon(fill, path string) template.URL {
	svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="8" fill="` + fill +
		`"/><path d="` + path + `" stroke="#fff" stroke-width="2" fill="none"/></svg>`
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Handler serves the page, for GET and HEAD, at whatever path it is mounted. It
// calls sources for each request, and makes none itself. The page says that it is
// up since the call of Handler. With the query ?pause it stays as it is.
func Handler(sources func() []Source) http.Handler {
	started := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		o := newOverview(sources(), started, time.Now())
		if !r.URL.Query().Has("pause") {
			o.Refresh = int(refreshEvery / time.Second)
		}
		write(w, http.StatusOK, pageTemplate, o)
	})
}

// Login answers with the form that asks for the client secret, and says why if
// there is a message. The form posts SecretField to LoginPath.
func Login(w http.ResponseWriter, status int, message string) {
	write(w, status, loginTemplate, login{message, LoginPath, SecretField})
}

type login struct{ Message, Path, Field string }

func (login) Title() string { return "Sign in" }
func (login) State() state  { return idle }
func (login) Refresh() int  { return 0 }

func write(w http.ResponseWriter, status int, t *template.Template, data any) {
	var body bytes.Buffer
	if err := t.Execute(&body, data); err != nil {
		http.Error(w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // "no-referrer" would make the Origin of the login "null"
	w.WriteHeader(status)
	w.Write(body.Bytes())
}
