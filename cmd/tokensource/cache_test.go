package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensource-go/tokensource/sandbox"
)

// setHome decides where os.UserCacheDir is, on any system; "" is nowhere.
func setHome(t *testing.T, dir string) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
}

// cacheDir is where the command keeps its tokens.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "tokensource")
}

// Runs of the command one after the other, as in a shell loop. Each letter is a
// token that was printed; the sandbox must have been asked once for each.
func TestTokenKept(t *testing.T) {
	elsewhere := t.TempDir() + "/not/yet/there"
	for name, tt := range map[string]struct {
		args []string // of every run
		runs [][]string
		want string
	}{
		"a loop":                           {[]string{"blink"}, [][]string{{}, {}, {}}, "AAA"},
		"in whatever format":               {[]string{"blackhawk"}, [][]string{{}, {"-o", "json"}, {"-o", "header"}}, "AAA"},
		"--no-cache":                       {[]string{"blink", "--no-cache"}, [][]string{{}, {}}, "AB"},
		"--no-cache beside a kept one":     {[]string{"blink"}, [][]string{{}, {"--no-cache"}, {}}, "ABA"},
		"--force-refresh":                  {[]string{"blink"}, [][]string{{}, {"--force-refresh"}, {}, {"--force-refresh"}, {}}, "ABBCC"},
		"--force-refresh, nothing kept":    {[]string{"blink"}, [][]string{{"--force-refresh"}, {}}, "AA"},
		"--force-refresh, nothing to keep": {[]string{"blink", "--no-cache", "--force-refresh"}, [][]string{{}, {}}, "AB"},
		"the older API, refreshed":         {[]string{"blink", "--legacy"}, [][]string{{}, {"--force-refresh"}, {}}, "ABB"},
		"--cache-dir":                      {[]string{"blink", "--cache-dir", elsewhere}, [][]string{{}, {}}, "AA"},
		"other directories":                {[]string{"blink"}, [][]string{{}, {"--cache-dir", elsewhere + "/again"}, {}}, "ABA"},
		"other options":                    {[]string{"blink"}, [][]string{{}, {"--source-site", "x"}, {}, {"--source-site", "x"}}, "ABAB"},
		"another API":                      {[]string{"blink"}, [][]string{{}, {"--legacy"}, {}, {"--legacy"}}, "ABAB"},
		"single-use tokens":                {[]string{"flinks"}, [][]string{{}, {}, {"--force-refresh"}}, "ABC"},
		"reusable ones":                    {[]string{"flinks", "--reusable"}, [][]string{{}, {}}, "AA"},
		"single-use beside reusable":       {[]string{"flinks"}, [][]string{{"--reusable"}, {}, {"--reusable"}}, "ABA"},
	} {
		t.Run(name, func(t *testing.T) {
			setCredentials(t, sandbox.ID, sandbox.Secret)
			sb := newFake(t, sandbox.Config{})
			var got strings.Builder
			tokens := map[string]rune{}
			for _, more := range tt.runs {
				code, stdout, stderr := sb.token(t, append(tt.args, more...)...)
				token := regexp.MustCompile(`(` + sandbox.TokenMark + `|` + sandbox.FlinksTokenMark + `)[\w-]+`).FindString(stdout)
				if code != exitOK || stderr != "" || token == "" {
					t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
				}
				if tokens[token] == 0 {
					tokens[token] = 'A' + rune(len(tokens))
				}
				got.WriteRune(tokens[token])
			}
			requests := 0
			for _, counts := range sb.Ledger() {
				requests += counts.TokenRequests
			}
			if got.String() != tt.want || requests != len(tokens) {
				t.Errorf("printed %s by %d token requests, want %s", got.String(), requests, tt.want)
			}
		})
	}
}

// Flinks single-use tokens never enter the store, and what is not to be kept
// makes no directory.
func TestTokenNotKept(t *testing.T) {
	for _, args := range [][]string{{"flinks"}, {"flinks", "--force-refresh"}, {"blink", "--no-cache"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			setCredentials(t, sandbox.ID, sandbox.Secret)
			if code, _, stderr := newFake(t, sandbox.Config{}).token(t, args...); code != exitOK || stderr != "" {
				t.Fatalf("exit code %d, stderr %q", code, stderr)
			}
			if _, err := os.Stat(cacheDir(t)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a directory %s (%v)", cacheDir(t), err)
			}
		})
	}
}

// kubelogin#1146, and Blink's token, which contains the secret key in clear:
// what lies in the cache directory says nothing, and is the user's own.
func TestTokenKeptSealed(t *testing.T) {
	setCredentials(t, sandbox.ID, sandbox.Secret)
	sb := newFake(t, sandbox.Config{})
	var secrets [][]byte
	for _, args := range [][]string{{"blink"}, {"blink", "--legacy"}, {"flinks", "--reusable"}, {"blackhawk"}} {
		_, stdout, _ := sb.token(t, args...)
		secrets = append(secrets, bytes.TrimSpace([]byte(stdout)))
	}
	secrets = append(secrets, []byte(sandbox.ID), []byte(sandbox.Secret), []byte(sandbox.TokenMark), []byte(sandbox.FlinksTokenMark), []byte(strings.TrimPrefix(sb.URL, "https://")))
	entries := 0
	err := filepath.WalkDir(cacheDir(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		var content []byte
		if !d.IsDir() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		if bytes.HasPrefix(content, []byte("tokensource entry")) {
			entries++
		}
		for _, secret := range secrets {
			if bytes.Contains(content, secret) || strings.Contains(path, string(secret)) {
				t.Errorf("%s shows %.20q", path, secret)
			}
		}
		return nil
	})
	if err != nil || entries != 4 {
		t.Errorf("%d entries, %v; want 4", entries, err)
	}
}

// Rotated credentials get a token of their own, by the first run that has them.
func TestTokenRotatedCredentials(t *testing.T) {
	var requests int
	url, caFile := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": 600}`, requests)
	})
	setCredentials(t, sandbox.ID, sandbox.Secret)
	for i, tt := range []struct{ secret, want string }{
		{"old", "token-1\n"}, {"old", "token-1\n"}, {"new", "token-2\n"}, {"new", "token-2\n"}, {"old", "token-1\n"},
	} {
		t.Setenv("BLACKHAWK_CLIENT_SECRET", tt.secret)
		code, stdout, stderr := cli(t, "token", "blackhawk", "--base-url", url, "--ca-file", caFile)
		if code != exitOK || stdout != tt.want || stderr != "" {
			t.Errorf("run %d: exit code %d, stdout %q, stderr %q, want %q", i, code, stdout, stderr, tt.want)
		}
	}
}

// A cache directory that cannot be used costs a line on stderr, not the token.
func TestTokenBrokenCache(t *testing.T) {
	for name, breakIt := range map[string]func(dir string) error{
		"a file in its place": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"below a file":        func(dir string) error { return os.WriteFile(filepath.Dir(dir), nil, 0o600) },
		"open to others":      func(dir string) error { return errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a link":              func(dir string) error { return os.Symlink(filepath.Dir(dir), dir) },
		"no home":             nil,
	} {
		for _, args := range [][]string{{"blink"}, {"blink", "--force-refresh"}} {
			t.Run(name+", "+strings.Join(args, " "), func(t *testing.T) {
				setCredentials(t, sandbox.ID, sandbox.Secret)
				sb := newFake(t, sandbox.Config{})
				if breakIt == nil {
					setHome(t, "")
				} else {
					setHome(t, t.TempDir()+"/home")
					dir := cacheDir(t)
					if name == "below a file" {
						must(t, os.MkdirAll(filepath.Dir(filepath.Dir(dir)), 0o700))
					} else {
						must(t, os.MkdirAll(filepath.Dir(dir), 0o700))
					}
					must(t, breakIt(dir))
				}
				code, stdout, stderr := sb.token(t, args...)
				if code != exitOK || !sb.accepted(t, sandbox.Blink, "Bearer "+strings.TrimSpace(stdout)) {
					t.Errorf("exit code %d, stdout %q", code, stdout)
				}
				if !strings.HasPrefix(stderr, "tokensource: warning: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--cache-dir") {
					t.Errorf("stderr %q, want one line of warning", stderr)
				}
				for _, secret := range []string{sandbox.ID, sandbox.Secret, sandbox.TokenMark} {
					if strings.Contains(stderr, secret) {
						t.Errorf("stderr shows a secret: %q", stderr)
					}
				}
				if n := sb.Ledger()[sandbox.Blink].TokenRequests; n != 1 {
					t.Errorf("%d token requests, want 1", n)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTokenHelpTellsWhereTokensLie(t *testing.T) {
	for _, args := range [][]string{{"token", "--help"}, {"token", "blink", "--help"}} {
		code, stdout, _ := cli(t, args...)
		for _, want := range []string{"--no-cache", "--force-refresh", "--cache-dir", "sealed", "~/.cache"} {
			if code != exitOK || !strings.Contains(stdout, want) {
				t.Errorf("%v does not say %q:\n%s", args, want, stdout)
			}
		}
	}
}
