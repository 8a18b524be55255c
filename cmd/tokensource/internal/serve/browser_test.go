//go:build !js

package serve_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tokensource-go/tokensource/cmd/tokensource/internal/page"
	"github.com/tokensource-go/tokensource/sandbox"
)

// One login in a real browser, and the page after it, in an outage too.
func TestLoginInABrowser(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("REQUIRE_CHROMIUM") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no chromium on this machine: ", err)
	}
	s := start(t, sandbox.Config{})
	s.token(t, "blink")
	s.Always(sandbox.Blackhawk, sandbox.Token, sandbox.Fault{Status: 503})
	s.token(t, "blackhawk")
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		do(err)
		return text
	}
	field := chromedp.CSS(`input[name="` + page.SecretField + `"]`)
	submit := func(secret string) {
		t.Helper()
		_, err := chromedp.RunResponse(ctx, chromedp.SendKeys(field, secret+"\r"))
		do(err)
	}
	do(chromedp.Do(ctx, chromedp.Navigate(s.url+"/")))
	before := text()
	submit("a wrong one")
	wrong := text()
	submit(secret)
	after := text()
	address, err := chromedp.Run(ctx, chromedp.Location())
	do(err)
	if strings.Contains(before+wrong, "blink") {
		t.Errorf("before the login:\n%s\n%s", before, wrong)
	}
	if !strings.Contains(after, "blink") || !strings.Contains(after, "503") || strings.Contains(after, secret) || address != s.url+"/" {
		t.Errorf("after the login, at %s:\n%s", address, after)
	}
	if file := os.Getenv("SCREENSHOT"); file != "" {
		do(chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)))
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		do(err)
		do(os.WriteFile(file, png, 0o600))
	}
}
