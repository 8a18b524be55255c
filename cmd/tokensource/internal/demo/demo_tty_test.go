//go:build unix

package demo

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"
)

// The bar fits the terminal and stays in its line, until Ctrl-C.
func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{80, 40, 5} {
		t.Run(fmt.Sprint(columns, " columns"), func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			must(t, err)
			cmd := exec.Command(self, "demo", "--workers", "2")
			cmd.Env = append(os.Environ(), "TERM=xterm")
			terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
			must(t, err)
			defer terminal.Close()
			var shown strings.Builder
			for buf := make([]byte, 4096); strings.Count(shown.String(), "\r") < 15; {
				n, err := terminal.Read(buf)
				must(t, err)
				shown.Write(buf[:n])
			}
			_, err = terminal.Write([]byte{3}) // Ctrl-C
			must(t, err)
			rest, _ := io.ReadAll(terminal) // ends with an error on Linux
			cmd.Wait()
			shown.Write(rest)
			bars := 0
			for text := range strings.SplitSeq(shown.String(), "\r") {
				bar, _, drawn := strings.Cut(text, "\x1b[K")
				if !drawn {
					continue
				}
				if strings.ContainsAny(bar, "█░") {
					bars++
				}
				if n := utf8.RuneCountInString(bar); n >= int(columns) || strings.Contains(bar, "\n") {
					t.Errorf("%d columns: %q", n, bar)
				}
			}
			if bars == 0 || cmd.ProcessState.Success() {
				t.Errorf("%d bars, %v: %q", bars, cmd.ProcessState, &shown)
			}
		})
	}
}
