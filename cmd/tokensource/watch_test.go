package main

// The file over hours, in virtual time. testdata/script has the command, with
// signals and processes.

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/sandbox"
)

// fileKept is a watcher of Blink's tokens at work.
type fileKept struct {
	*sandbox.Sandbox
	*watcher
	told *atomic.Int32
}

func newWatcher(sb *sandbox.Sandbox, file *tokenFile) *watcher {
	return &watcher{
		cache: &tokensource.Cache{Source: &tokensource.Blink{
			Credentials: tokensource.StaticCredentials(sandbox.ID, sandbox.Secret), BaseURL: sb.URL, HTTPClient: sb.Client(),
		}},
		file:  file,
		print: func(tok *oauth2.Token) []byte { return []byte(tok.AccessToken) },
		log:   slog.New(slog.DiscardHandler),
		tell:  func() {},
		news:  make(chan struct{}, 1),
	}
}

func watchInBubble(t *testing.T, name string, test func(t *testing.T, w *fileKept)) {
	t.Run(name, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own", "token")
		synctest.Test(t, func(t *testing.T) {
			sb := sandbox.NewInProcess(sandbox.Config{})
			file, err := openTokenFile(path)
			must(t, err)
			w := &fileKept{sb, newWatcher(sb, file), new(atomic.Int32)}
			w.tell = func() { w.told.Add(1) }
			w.cache.OnEvent = w.event
			ctx, end := context.WithCancel(t.Context())
			must(t, w.begin(ctx))
			done := make(chan struct{})
			go func() { defer close(done); w.run(ctx) }()
			test(t, w)
			end()
			<-done
			must(t, w.cache.Close())
			must(t, file.close())
			if file.there() {
				t.Error("the file is left")
			}
		})
	})
}

// good reports whether the file holds a token that the API takes.
func (w *fileKept) good(t *testing.T) bool {
	t.Helper()
	content, err := os.ReadFile(w.file.path)
	if err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.APIURL(sandbox.Blink), nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+string(content))
	resp, err := w.Client().Do(req)
	must(t, err)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func TestWatch(t *testing.T) {
	t.Parallel()
	outage := sandbox.Fault{Status: http.StatusServiceUnavailable}
	watchInBubble(t, "a day: good at every moment, one request for each rollover", func(t *testing.T, w *fileKept) {
		for range 24 * 60 * 4 {
			if time.Sleep(15 * time.Second); !w.good(t) {
				t.Fatal("the file is not good")
			}
		}
		// A token of 30 minutes serves 25 to 26 of them.
		if n := w.Ledger()[sandbox.Blink].TokenRequests; n < 55 || n > 59 || int(w.told.Load()) != n {
			t.Errorf("%d token requests; told of %d tokens", n, w.told.Load())
		}
	})
	watchInBubble(t, "a short outage: the token outlives it", func(t *testing.T, w *fileKept) {
		time.Sleep(24 * time.Minute)
		w.Always(sandbox.Blink, sandbox.Token, outage)
		for range 5 * 60 {
			if time.Sleep(time.Second); !w.good(t) {
				t.Fatal("the file is not good")
			}
		}
		w.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
		if time.Sleep(time.Minute); !w.good(t) || w.told.Load() != 2 {
			t.Errorf("there is no new token")
		}
	})
	for name, fault := range map[string]sandbox.Fault{
		"a long outage": outage, "a provider that hangs": {Delay: time.Hour}, "credentials that are rejected": {Status: http.StatusUnauthorized},
	} {
		watchInBubble(t, name+": a dead token is never in the file", func(t *testing.T, w *fileKept) {
			w.Always(sandbox.Blink, sandbox.Token, fault)
			for range 40 * 60 {
				if time.Sleep(time.Second); w.file.there() && !w.good(t) {
					t.Fatal("the file holds a dead token")
				}
			}
			if w.file.there() {
				t.Error("the file is there without a token")
			}
			w.Always(sandbox.Blink, sandbox.Token, sandbox.Fault{})
			if time.Sleep(40 * time.Second); !w.good(t) {
				t.Error("the file is not back")
			}
		})
	}
	watchInBubble(t, "the directory goes for a while", func(t *testing.T, w *fileKept) {
		dir := filepath.Dir(w.file.path)
		must(t, os.Rename(dir, dir+"-away"))
		time.Sleep(10 * time.Second)
		must(t, os.Rename(dir+"-away", dir))
		must(t, os.Remove(w.file.path))
		if time.Sleep(2 * time.Second); !w.good(t) {
			t.Error("the file is not back")
		}
	})
}

// What is wrong at the start ends the command; an outage does not.
func TestWatchBegins(t *testing.T) {
	for name, tt := range map[string]struct {
		faults []sandbox.Fault
		code   int
	}{
		"well":                 {nil, exitOK},
		"after an outage":      {[]sandbox.Fault{{Status: 503}, {Status: 503}, {Status: 503}, {Status: 503}, {Break: true}}, exitOK},
		"slowly":               {[]sandbox.Fault{{Delay: 5 * time.Second}}, exitOK},
		"rejected credentials": {[]sandbox.Fault{{Status: 401}}, exitCredentials},
		"the wrong address":    {[]sandbox.Fault{{Status: 404}}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "own", "token")
			synctest.Test(t, func(t *testing.T) {
				sb := sandbox.NewInProcess(sandbox.Config{})
				sb.Script(sandbox.Blink, sandbox.Token, tt.faults...)
				file, err := openTokenFile(path)
				must(t, err)
				w := newWatcher(sb, file)
				err = w.begin(t.Context())
				if code := exitCode(t.Context(), err); code != tt.code || file.there() != (code == exitOK) {
					t.Errorf("exit code %d: %v; a file: %v", code, err, file.there())
				}
				must(t, w.cache.Close())
				must(t, file.close())
			})
		})
	}
}

// What another user could replace, or another process keeps, is refused without
// repeating what was typed.
func TestWatchRefusedFiles(t *testing.T) {
	const secret = "S3cret-for-a-path"
	setCredentials(t, sandbox.ID, sandbox.Secret)
	sb := newFake(t, sandbox.Config{})
	file := filepath.Join(t.TempDir(), secret)
	must(t, os.WriteFile(file, nil, 0o600))
	for name, path := range map[string]string{
		"below a file": filepath.Join(file, "token"), "a directory": filepath.Dir(file),
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := sb.token(t, "blink", "--watch", "--file", path)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--file: ") || strings.Contains(stderr, secret) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}
