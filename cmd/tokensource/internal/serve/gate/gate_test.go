package gate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const secret = "s3cret: with 100% and + and é"

func gateOf(t *testing.T, text string) (*Gate, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	return &Gate{Secret: s}, path
}

func from(peer string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = peer
	return r
}

func TestAdmitBasic(t *testing.T) {
	g, _ := gateOf(t, "\ufeff"+secret+"\r\n")
	for name, tt := range map[string]struct {
		header string
		want   error
	}{
		"URL-encoded, as the RFC has it": {basic("id", url.QueryEscape(secret)), nil},
		"as it is, as curl sends it":     {basic("id", secret), nil},
		"another id":                     {basic("", secret), nil},
		"a prefix":                       {basic("id", secret[:20]), ErrSecret},
		"a suffix":                       {basic("id", secret+"x"), ErrSecret},
		"none":                           {"", ErrSecret},
		"no base64":                      {"Basic %%%", ErrSecret},
		"no colon":                       {"Basic " + base64.StdEncoding.EncodeToString([]byte(secret)), ErrSecret},
		"another scheme":                 {"Bearer " + secret, ErrSecret},
	} {
		t.Run(name, func(t *testing.T) {
			r := from("127.0.0.1:1")
			r.Header.Set("Authorization", tt.header)
			if err := g.AdmitBasic(r); !errors.Is(err, tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// Ten mistakes a second, then 429; the right secret gets in all the same, and
// another peer has mistakes of its own.
func TestMistakesPerPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := gateOf(t, secret)
		count := func(peer string) (wrong, tooMany int) {
			for range 100 {
				switch err := g.Admit(from(peer), "wrong"); {
				case errors.Is(err, ErrSecret):
					wrong++
				case errors.Is(err, ErrTooMany):
					tooMany++
				}
			}
			return wrong, tooMany
		}
		for _, peer := range []string{"192.0.2.1:1", "192.0.2.2:1", "@", "[2001:db8:1::1]:1"} {
			if wrong, tooMany := count(peer); wrong != 10 || tooMany != 90 {
				t.Errorf("%s: %d wrong, %d too many", peer, wrong, tooMany)
			}
		}
		if wrong, _ := count("[2001:db8:1::ffff]:1"); wrong != 0 {
			t.Error("a host of one IPv6 network has all of its addresses")
		}
		if wrong, _ := count("[2001:db8:2::1]:1"); wrong != 10 {
			t.Error("another network shares the limit")
		}
		if err := g.Admit(from("192.0.2.1:2"), secret); err != nil {
			t.Errorf("the right secret: %v", err)
		}
		time.Sleep(time.Second)
		if wrong, _ := count("192.0.2.1:3"); wrong != 10 {
			t.Errorf("a second later: %d wrong", wrong)
		}
	})
}

// The table does not grow with the number of strangers, and has room again when
// they have been quiet for a second.
func TestManyPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p peers
		for i := range 3 * maxPeers {
			p.mistake(fmt.Sprint("peer ", i), time.Now())
		}
		if len(p.limits) > maxPeers {
			t.Errorf("%d entries", len(p.limits))
		}
		time.Sleep(time.Second)
		if p.mistake("new", time.Now()); len(p.limits) != 1 {
			t.Errorf("%d entries after a quiet second", len(p.limits))
		}
	})
}

func TestRotatedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, path := gateOf(t, secret)
		rotate := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookAgain)
		}
		rotate("another secret, rotated")
		if err := g.Admit(from("@"), "another secret, rotated"); err != nil {
			t.Errorf("the new one: %v", err)
		}
		if err := g.Admit(from("@"), secret); err == nil {
			t.Error("the old one is still taken")
		}
		rotate("") // half-way through a rotation
		if err := g.Admit(from("@"), "another secret, rotated"); err != nil {
			t.Errorf("while the file is empty: %v", err)
		}
	})
}

func TestMadeSecret(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s, err := MakeSecret("127.0.0.1:8650")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path)
	if err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(s.Path, dir) {
		t.Fatalf("%v %v %s", info, err, s.Path)
	}
	text, err := os.ReadFile(s.Path)
	if err != nil || !s.Is(strings.TrimSpace(string(text))) || s.Is("") || len(text) < 27 {
		t.Errorf("%q %v", text, err)
	}
	other, err := MakeSecret("127.0.0.1:8651")
	if err != nil || other.Path == s.Path || other.Is(strings.TrimSpace(string(text))) {
		t.Errorf("another server's: %v %v", other, err)
	}
	next, err := MakeSecret("127.0.0.1:8650") // while the first still drains
	if err != nil {
		t.Fatal(err)
	}
	if s.Remove(); !exists(next.Path) {
		t.Error("the one before takes its successor's secret away")
	}
	if next.Remove(); exists(s.Path) {
		t.Error("it is still there")
	}
}

// Who can replace the file could have clients call another server.
func TestMadeSecretAmongOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of Unix")
	}
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	open := filepath.Join(dir, "tokensource")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if s, err := MakeSecret("127.0.0.1:8650"); err == nil || !strings.Contains(err.Error(), "others may write it") {
		t.Errorf("%v %v", s, err)
	}
}

func TestUnusableSecretFile(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "short": "0123456789abcde\n", "endless": strings.Repeat("a", 2000)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "--client-secret-file") {
				t.Error(err)
			}
		})
	}
	t.Run("the secret instead of its file", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if _, err := ReadSecret("hunter2hunter2hunter2"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	})
	t.Run("what cannot be read twice", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		path := fmt.Sprint("/dev/fd/", r.Fd())
		if !exists(path) {
			t.Skip("no /dev/fd on this system")
		}
		if _, err := w.WriteString(secret + "\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Error(err)
		}
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
