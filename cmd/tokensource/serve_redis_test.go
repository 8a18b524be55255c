//go:build unix

package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/alicebob/miniredis/v2"

	"github.com/tokensource-go/tokensource/sandbox"
)

// Two servers of a fleet share a token by Redis.
func TestServeWithRedis(t *testing.T) {
	redis := "redis://" + miniredis.RunT(t).Addr()
	s := startServing(t, sandbox.Config{}, "--redis", redis)
	first := s.ask(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	other := s.another(t, "--redis", redis)
	if second := other.ask(t); second != first || !s.accepted(t, sandbox.Blink, "Bearer "+second) {
		t.Errorf("tokens %q and %q", first, second)
	}
	if n := s.Ledger()[sandbox.Blink].TokenRequests; n != 1 {
		t.Errorf("two servers cost %d token requests", n)
	}
}

// ask gets a token as x/oauth2 does.
func (s *tokenServer) ask(t *testing.T) string {
	t.Helper()
	secret, err := os.ReadFile(s.secretFile)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := (&clientcredentials.Config{
		ClientID: "any", ClientSecret: strings.TrimSpace(string(secret)), TokenURL: s.url + "/blink/token",
	}).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken
}
