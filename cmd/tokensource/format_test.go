package main

import (
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// What a header can carry can be printed in every form: quotes, and what a shell
// or curl would read.
func TestFormatsOfOddTokens(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	p := blink()
	for name, access := range map[string]string{
		"an opaque one":       "5a9db0c5-b562-4b88",
		"a bar, as Laravel's": "1|abc",
		"quotes":              `a"b'c\d`,
		"a shell's words":     "$(id)`id`;&#!*",
	} {
		t.Run(name, func(t *testing.T) {
			tok := &oauth2.Token{AccessToken: access}
			out, err := exec.Command(sh, "-c", string(printEnv(p, tok))+`printf %s "$BLINK_ACCESS_TOKEN"`).Output()
			if err != nil || string(out) != access {
				t.Errorf("a shell reads %q: %v", out, err)
			}
			curl, err := exec.LookPath("curl")
			if err != nil {
				t.Skip("there is no curl")
			}
			format, err := formatNamed("curl")
			if err != nil {
				t.Fatal(err)
			}
			url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Authorization")) })
			cmd := exec.Command(curl, "-sfkK", writeFile(t, string(format.print(p, tok))), url)
			if out, err = cmd.Output(); err != nil || string(out) != "Bearer "+access {
				t.Errorf("curl sends %q: %v", out, err)
			}
		})
	}
}

func TestFormatsWithoutAnExpiry(t *testing.T) {
	tok := &oauth2.Token{AccessToken: "access"}
	if got, want := string(printJSON(tok)), `{"version":1,"success":true,"access_token":"access","token_type":"Bearer"}`+"\n"; got != want {
		t.Errorf("%s", got)
	}
	if got, want := string(printEnv(blink(), tok)), "BLINK_ACCESS_TOKEN=access\nBLINK_TOKEN_TYPE=Bearer\n"; got != want {
		t.Errorf("%s", got)
	}
}

// A single-use token carries its issue time as Expiry: what is printed is when
// it ends.
func TestFormatOfASingleUseToken(t *testing.T) {
	issued := time.Now().Add(-time.Second)
	tok := &oauth2.Token{AccessToken: "access", Expiry: issued, ExpiresIn: 299}
	if got := expiryOf(tok); !got.Equal(issued.Add(299 * time.Second)) {
		t.Errorf("expires %v after it was issued", got.Sub(issued))
	}
}
