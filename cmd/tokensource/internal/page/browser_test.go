//go:build !js

package page

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium with one tab.
type browser struct {
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func newBrowser(t *testing.T) *browser {
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("REQUIRE_CHROMIUM") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no chromium on this machine: ", err)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) listen(e any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := e.(type) {
	case *log.EventEntryAdded: // violations of the policy too
		b.complaints = append(b.complaints, e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, "console: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	}
}

// sight is what a window shows of a page.
type sight struct {
	Page       int64    `json:"page"`   // width in px
	Window     int64    `json:"window"` // the same
	Background string   `json:"background"`
	Complaints []string `json:"-"`
}

func (b *browser) look(url string, width int64, scheme string) (s sight, err error) {
	b.mu.Lock()
	b.complaints = nil
	b.mu.Unlock()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		return s, err
	}
	size := []chromedp.EmulateViewportOption{chromedp.EmulateScale(1.5)}
	if width < 500 {
		size = append(size, chromedp.EmulateMobile)
	}
	if err = chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800, size...), chromedp.Navigate(url)); err != nil {
		return s, err
	}
	s, err = chromedp.Run(b.ctx, chromedp.Evaluate[sight](`({
		page: document.documentElement.scrollWidth,
		window: innerWidth,
		background: getComputedStyle(document.body).backgroundColor,
	})`))
	if err != nil {
		return s, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Complaints = b.complaints
	return s, nil
}

// replay serves what was rendered in a bubble, where no browser reaches.
func replay(t *testing.T, resp *http.Response) (url string) {
	body := text(t, resp)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A browser shows each page without a complaint, in the colours that its user
// prefers, and nothing lies beyond the right edge. PAGE_SCREENSHOTS=DIR keeps a
// picture of each there.
func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	pictures := os.Getenv("PAGE_SCREENSHOTS")
	for name, scene := range scenes {
		url := replay(t, in(t, scene))
		for _, width := range []int64{1280, 390} {
			for scheme, background := range map[string]string{"light": "rgb(244, 244, 242)", "dark": "rgb(16, 19, 23)"} {
				t.Run(fmt.Sprintf("%s-%d-%s", name, width, scheme), func(t *testing.T) {
					s, err := b.look(url, width, scheme)
					if err != nil {
						t.Fatal(err)
					}
					if s.Page > s.Window || s.Window != width {
						t.Errorf("the page is %d px wide, the window %d px, want %d px", s.Page, s.Window, width)
					}
					if s.Background != background {
						t.Errorf("the background is %s, want %s: the style sheet is not in force", s.Background, background)
					}
					if name != "login" && len(s.Complaints) > 0 || len(s.Complaints) > 1 { // the login is a 401
						t.Errorf("the browser complains: %q", s.Complaints)
					}
					if pictures == "" {
						return
					}
					picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(pictures, filepath.Base(t.Name())+".png"), picture, 0o600); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

// The policy is in force, and the test above would notice: a script is not run,
// a style that the page does not have is not applied.
func TestBrowserPolicy(t *testing.T) {
	b := newBrowser(t)
	for name, injected := range map[string]string{
		"script":          `<script>document.body.style.background = "red"</script>`,
		"style":           `<style>body { background: red }</style>`,
		"style attribute": `<p style="position: absolute; width: 5000px">x</p>`,
		"image":           `<img src="https://elsewhere.example/x.png">`,
	} {
		t.Run(name, func(t *testing.T) {
			resp := get(empty)
			resp.Body = io.NopCloser(strings.NewReader(strings.Replace(text(t, resp), "</main>", "</main>"+injected, 1)))
			resp.Header.Del("Content-Length")
			s, err := b.look(replay(t, resp), 390, "light")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Complaints) == 0 || !strings.Contains(s.Complaints[0], "Content Security Policy") {
				t.Errorf("complaints %q, want one of the policy", s.Complaints)
			}
			if s.Background != "rgb(244, 244, 242)" || s.Page > s.Window {
				t.Errorf("it changed the page: %s, %d px", s.Background, s.Page)
			}
		})
	}
}

// Without any script the page shows what is new, at the place that the reader
// has scrolled to, until it is paused.
func TestBrowserReloads(t *testing.T) {
	b := newBrowser(t)
	body := text(t, in(t, scenes["outage"]))
	requests := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, body)
		requests <- r.URL.RequestURI()
	}))
	defer server.Close()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(390, 800), chromedp.Navigate(server.URL)); err != nil {
		t.Fatal(err)
	}
	<-requests
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[chromedp.Void](`scrollTo(0, 300)`)); err != nil {
		t.Fatal(err)
	}
	for _, err := range chromedp.Events(b.ctx, devtools.LoadEventFired) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if uri := <-requests; uri != "/" {
		t.Errorf("it reloads %s", uri)
	}
	var err error
	for range 3 { // the next reload may take the page away in the middle of it
		if _, err = chromedp.Run(b.ctx, chromedp.Poll[bool](`scrollY == 300`)); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("the reload has scrolled away: %v", err)
	}
	if err := chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(`header a`))); err != nil {
		t.Fatal(err)
	}
	if uri := <-requests; uri != "/?pause" {
		t.Errorf("the link leads to %s", uri)
	}
}
