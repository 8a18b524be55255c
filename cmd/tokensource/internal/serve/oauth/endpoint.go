package oauth

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/serve/gate"
)

// maxWait is longer than a refresh may take.
const maxWait = 40 * time.Second

// Endpoint is the standard side of one source.
type Endpoint struct {
	Name  string
	Scope string // that the source asks its provider for
	Cache *tokensource.Cache
	Gate  *gate.Gate
	Log   *slog.Logger

	Answered func(status int) // told of each token request
}

// Register adds the endpoint's paths.
func (e *Endpoint) Register(mux *http.ServeMux) {
	mux.HandleFunc("/"+e.Name+"/token", e.told(e.post(e.token)))
	mux.HandleFunc("/"+e.Name+"/invalidate", e.post(e.invalidate))
	mux.HandleFunc("/.well-known/oauth-authorization-server/"+e.Name, e.metadata)
}

// told tells Answered the status.
func (e *Endpoint) told(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w}
		next(s, r)
		if s.status != 0 { // the client was still there
			e.Answered(s.status)
		}
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// token is RFC 6749, section 4.4.2.
func (e *Endpoint) token(w http.ResponseWriter, form url.Values, r *http.Request) {
	switch grant := form.Get("grant_type"); {
	case grant == "":
		e.fail(w, r, invalid("grant_type is missing: it is client_credentials"))
		return
	case grant != "client_credentials":
		e.fail(w, r, &fault{status: http.StatusBadRequest, code: "unsupported_grant_type", description: "grant_type is client_credentials"})
		return
	case !e.inScope(form.Get("scope")):
		// Ignoring it would hand out a token of another scope than asked for.
		e.fail(w, r, &fault{status: http.StatusBadRequest, code: "invalid_scope", description: "the scope is fixed where the source is configured: leave it out"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	tok, err := e.Cache.TokenContext(ctx)
	if err != nil {
		if r.Context().Err() == nil {
			e.fail(w, r, e.failure(err))
		}
		return
	}
	scope, _ := tok.Extra("scope").(string)
	answer(w, http.StatusOK, tokenAnswer{tok.AccessToken, tok.Type(), expiresIn(tok, time.Now()), scope})
}

// inScope reports whether a client asks for the configured scope, or for none.
func (e *Endpoint) inScope(asked string) bool {
	return asked == "" || slices.Equal(scopes(asked), scopes(e.Scope))
}

func scopes(s string) []string {
	fields := strings.Fields(s)
	slices.Sort(fields)
	return slices.Compact(fields)
}

// invalidate is RFC 7009: the API rejected the token, so the next one is new.
// It is 200 whether or not the token is the current one.
func (e *Endpoint) invalidate(w http.ResponseWriter, form url.Values, r *http.Request) {
	token := form.Get("token")
	if token == "" {
		e.fail(w, r, invalid("token is missing"))
		return
	}
	e.Cache.Invalidate(&oauth2.Token{AccessToken: token})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}
