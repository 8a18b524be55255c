package tokensource_test

// Flinks' wire: where the credentials go, and tokens that serve once.

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
)

const flinksBase = "https://flinkspay.example"

var flinksUser = tokensource.StaticCredentials("Username", "Password")

func TestFlinksGolden(t *testing.T) {
	for _, c := range []struct {
		name    string
		style   oauth2.AuthStyle
		request string
	}{
		{"by default", oauth2.AuthStyleAutoDetect, "flinks_request.http"},
		{"in the header", oauth2.AuthStyleInHeader, "flinks_request.http"},
		{"in the form", oauth2.AuthStyleInParams, "flinks_form_request.http"},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "flinks_response.http", http.StatusOK))
			f := &tokensource.Flinks{BaseURL: flinksBase, Credentials: flinksUser, AuthStyle: c.style, HTTPClient: e.client()}
			tok, err := f.Token()
			checkToken(t, tok, err, "flinks_response.http", "bearer", time.Now())
			checkRequest(t, e, c.request)
			if tok.ExpiresIn != 299 || !f.SingleUse() {
				t.Errorf("ExpiresIn %d, single use %v, want 299 and true", tok.ExpiresIn, f.SingleUse())
			}

			f.Reusable = true
			tok, err = f.Token()
			checkToken(t, tok, err, "flinks_response.http", "bearer", time.Now().Add(299*time.Second))
			if tok.ExpiresIn != 299 || f.SingleUse() {
				t.Errorf("ExpiresIn %d, single use %v, want 299 and false", tok.ExpiresIn, f.SingleUse())
			}
		})
	}
}

// x/oauth2 tries the other style after a refusal, which doubles the failures and
// the attempts that lock an account.
func TestFlinksAuthStyleIsNeverProbed(t *testing.T) {
	for name, style := range map[string]oauth2.AuthStyle{
		"by default": oauth2.AuthStyleAutoDetect, "in the header": oauth2.AuthStyleInHeader, "in the form": oauth2.AuthStyleInParams,
	} {
		inBubble(t, name, func(t *testing.T) {
			e := newEndpoint(reply{status: http.StatusUnauthorized})
			f := &tokensource.Flinks{BaseURL: flinksBase, Credentials: flinksUser, AuthStyle: style, HTTPClient: e.client()}
			for n := 1; n <= 2; n++ {
				if _, err := f.Token(); !errors.Is(err, tokensource.ErrCredentials) {
					t.Errorf("error is %v, want ErrCredentials", err)
				}
				if got := e.GetTotalCallCount(); got != n {
					t.Errorf("%d requests after %d calls", got, n)
				}
			}
		})
	}
	inBubble(t, "unknown style", func(t *testing.T) {
		e := newEndpoint(reply{})
		f := &tokensource.Flinks{BaseURL: flinksBase, Credentials: flinksUser, AuthStyle: 7, HTTPClient: e.client()}
		_, err := f.Token()
		want := wantError{says: "AuthStyle must be"}
		want.Provider = "flinks"
		checkFailure(t, e, f, err, want)
		if n := e.GetTotalCallCount(); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

// x/oauth2 wraps every source in ReuseTokenSource and would hand one token out
// until it expires.
func TestFlinksTokensUnderOAuth2(t *testing.T) {
	for _, c := range []struct {
		name     string
		reusable bool
		requests int
	}{
		{"single use", false, 3},
		{"reusable", true, 1},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			e := newEndpoint(goldenAnswer(t, "flinks_response.http", http.StatusOK))
			src := oauth2.ReuseTokenSource(nil, &tokensource.Flinks{BaseURL: flinksBase, Credentials: flinksUser, Reusable: c.reusable, HTTPClient: e.client()})
			for range 3 {
				if _, err := src.Token(); err != nil {
					t.Fatal(err)
				}
			}
			if n := e.GetTotalCallCount(); n != c.requests {
				t.Errorf("%d requests for 3 calls, want %d", n, c.requests)
			}
		})
	}
}

// A session pins its token: x/oauth2 does not look at the expiry then.
func TestFlinksPinnedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(goldenAnswer(t, "flinks_response.http", http.StatusOK))
		tok, err := (&tokensource.Flinks{BaseURL: flinksBase, Credentials: flinksUser, HTTPClient: e.client()}).Token()
		if err != nil {
			t.Fatal(err)
		}
		api := newEndpoint(reply{})
		session := &http.Client{Transport: &oauth2.Transport{Source: oauth2.StaticTokenSource(tok), Base: api}}
		for range 2 {
			resp, err := session.Post(flinksBase+"/api/v1/sessions/initiate", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := api.request.Header.Get("Authorization"); got != "Bearer 84002b62-a47e-45a6-97dd-306a8f9721d7" {
				t.Errorf("Authorization is %q", got)
			}
		}
		if n := e.GetTotalCallCount(); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}
