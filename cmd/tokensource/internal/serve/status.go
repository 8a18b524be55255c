package serve

import (
	"errors"
	"net/http"
	"time"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/page"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
)

const (
	cookieName = "tokensource"
	maxLogin   = 4 << 10 // bytes of the login form
)

// statusPage is at /: behind a login, unless it is asked for over the unix
// socket, which is the user's alone.
func (s *Server) statusPage(mux *http.ServeMux, g *gate.Gate) {
	handler := page.Handler(func() []page.Source {
		var sources []page.Source
		for _, src := range s.sources {
			sources = append(sources, page.Source{Name: src.Name, Cache: src.cache, History: &src.history})
		}
		return sources
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		if listen.Network(r) == "unix" || inSession(g, r) {
			handler.ServeHTTP(w, r)
			return
		}
		askLogin(w, http.StatusUnauthorized, "")
	})
	mux.HandleFunc("POST /"+page.LoginPath, func(w http.ResponseWriter, r *http.Request) { login(w, r, g) })
}

func inSession(g *gate.Gate, r *http.Request) bool {
	cookie, err := r.Cookie(cookieName)
	return err == nil && g.AdmitSession(r, cookie.Value)
}

func askLogin(w http.ResponseWriter, status int, message string) {
	if status == http.StatusUnauthorized {
		// A scheme that browsers do not know, so that none asks by itself.
		w.Header().Set("WWW-Authenticate", `Cookie realm="tokensource"`)
	}
	page.Login(w, status, message)
}

// login trades the client secret for a cookie that is good for half a day, and
// no longer than the secret.
func login(w http.ResponseWriter, r *http.Request, g *gate.Gate) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	switch err := g.Admit(r, r.PostFormValue(page.SecretField)); {
	case errors.Is(err, gate.ErrTooMany):
		w.Header().Set("Retry-After", "1")
		askLogin(w, http.StatusTooManyRequests, "Too many wrong secrets. Wait a second.")
		return
	case err != nil:
		askLogin(w, http.StatusUnauthorized, "That is not the client secret.")
		return
	}
	value, expires := g.NewSession(time.Now())
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
