package serve

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// healthz says that the process serves.
func healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") }

// readyz says whether each source has a token or may be asked for one. It makes
// no request. A source that failed counts as not ready until it may be asked again:
// if it counted so for longer, and calls came only to those that are ready, it
// would never recover.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	var lines strings.Builder
	status := http.StatusOK
	if s.draining.Load() {
		status = http.StatusServiceUnavailable
		lines.WriteString("stopping\n")
	}
	for _, source := range s.sources {
		st := source.cache.Status()
		switch {
		case st.Valid:
			fmt.Fprintf(&lines, "%s: ok\n", source.Name)
		case st.HeldUntil.IsZero():
			fmt.Fprintf(&lines, "%s: ok, no token yet\n", source.Name)
		default:
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&lines, "%s: no token, asked again in %v\n", source.Name, time.Until(st.HeldUntil).Round(time.Second))
		}
	}
	text(w, status, lines.String())
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}
