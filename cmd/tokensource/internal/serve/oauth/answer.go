package oauth

// What is answered: tokens, and why there is none.

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
)

// margin is taken off what a token has left, so that one which a client keeps
// for as long as it is told is not rejected on its way: 10 s, half of what is
// left if that is less.
const margin = 10 * time.Second

// expiresIn is in whole seconds, at least 1; 0 if the token never expires.
func expiresIn(tok *oauth2.Token, now time.Time) int64 {
	expiry := tok.Expiry
	switch {
	case expiry.IsZero():
		return 0
	case tok.ExpiresIn > 0 && !expiry.After(now): // single-use: its Expiry is when it was issued
		expiry = expiry.Add(time.Duration(tok.ExpiresIn) * time.Second)
	}
	left := expiry.Sub(now)
	return max(1, int64((left-min(margin, left/2))/time.Second))
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in,omitzero"`
	Scope       string `json:"scope,omitzero"`
}

type errorAnswer struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitzero"`
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // only texts and numbers: it does not happen
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	text = append(text, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	w.Write(text)
}

func (e *Endpoint) fail(w http.ResponseWriter, r *http.Request, f *fault) {
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", gate.Challenge)
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	level := slog.LevelDebug // of what the events tell, and of what could fill the log
	if f.status == http.StatusUnauthorized {
		level = slog.LevelWarn
	}
	e.Log.LogAttrs(r.Context(), level, "refused", slog.String("source", e.Name), slog.Int("status", f.status),
		slog.String("code", f.code), slog.String("why", f.description))
	answer(w, f.status, errorAnswer{printable(f.code), printable(f.description)})
}

// failure is what an error of the source means to a client. Its code and its
// words are the provider's, if it had any.
func (e *Endpoint) failure(err error) *fault {
	f := &fault{status: http.StatusInternalServerError, description: strings.TrimPrefix(err.Error(), "tokensource: ")}
	var te *tokensource.Error
	errors.As(err, &te)
	switch {
	case errors.Is(err, tokensource.ErrClosed):
		f.status, f.description = http.StatusServiceUnavailable, "the server is being stopped"
	case te == nil:
	case te.Status == http.StatusTooManyRequests:
		f.status = http.StatusTooManyRequests
	case te.Temporary() || te.Timeout():
		f.status = http.StatusServiceUnavailable
	case te.Status != 0 && !errors.Is(err, tokensource.ErrCredentials):
		f.status = http.StatusBadRequest
	}
	fallback := "server_error"
	if f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests {
		fallback = "temporarily_unavailable"
		f.retryAfter = e.retryAfter(te)
	}
	if te != nil {
		f.code = te.Code
	}
	f.code = cmp.Or(f.code, fallback)
	return f
}

// retryAfter is when the source is asked again, in whole seconds, at least 1.
func (e *Endpoint) retryAfter(err *tokensource.Error) int {
	wait := time.Until(e.Cache.Status().HeldUntil)
	if err != nil {
		wait = max(wait, err.RetryAfter)
	}
	return int(max(1, (wait+time.Second-1)/time.Second))
}

// printable keeps to the characters that RFC 6749 allows in errors.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, s)
}
