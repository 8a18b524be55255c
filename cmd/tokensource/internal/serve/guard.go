package serve

import (
	"net/http"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/listen"
)

// guard answers with a clear 4xx what no client of this server sends: what is
// meant for a proxy, and what two servers could read in two ways.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		status, why := hostile(r)
		if status == 0 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close") // nothing that follows is taken for a request
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, why, status)
	})
}

// crossOrigin is about browsers: one that was told the secret sends it with
// whatever a page asks.
var crossOrigin = http.NewCrossOriginProtection()

func hostile(r *http.Request) (status int, why string) {
	p := r.URL.Path
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	switch {
	case r.Method == http.MethodConnect:
		return http.StatusMethodNotAllowed, "this is no proxy"
	case r.URL.IsAbs() || r.URL.Host != "":
		return http.StatusBadRequest, "this is no proxy: ask for a path"
	case !strings.HasPrefix(p, "/") || p != clean || r.URL.RawPath != "" || !plain(p):
		return http.StatusBadRequest, "the path is not a plain one"
	case len(r.TransferEncoding) > 0:
		// With a Content-Length besides it would smuggle a request past a proxy.
		return http.StatusLengthRequired, "send the body with its length, not in chunks"
	case crossOrigin.Check(r) != nil:
		return http.StatusForbidden, "a page of another origin may not ask"
	case r.TLS == nil && listen.Network(r) != "unix" && !listen.LocalHost(r.Host):
		return http.StatusMisdirectedRequest, "the Host header names another machine: ask localhost or a loopback address"
	}
	return 0, ""
}

func plain(p string) bool {
	return utf8.ValidString(p) && !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}
