package main

// The programs of docs/any-language.md, as they stand there, and OAuth 2.0
// clients of others.

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensource-go/tokensource/sandbox"
)

// need skips a test whose program is not on this machine. .ci/run installs them
// and sets REQUIRE_INTERPRETERS.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("REQUIRE_INTERPRETERS") != "" {
			t.Fatal(err)
		}
		t.Skip("not on this machine: ", err)
	}
}

var block = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

func TestAnyLanguage(t *testing.T) {
	document, err := os.ReadFile("../../docs/any-language.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]string{}
	for _, b := range block.FindAllStringSubmatch(string(document), -1) {
		programs[b[1]] = b[2]
	}
	s := startServing(t, sandbox.Config{})
	for language, command := range map[string]struct{ interpreter, file string }{
		"php":    {"php", "program.php"},
		"python": {"python3", "program.py"},
		"js":     {"node", "program.mjs"},
		"ruby":   {"ruby", "program.rb"},
		"sh":     {"sh", "program.sh"},
	} {
		t.Run(language, func(t *testing.T) {
			need(t, command.interpreter)
			if language == "sh" {
				need(t, "curl")
			}
			if lines := strings.Count(programs[language], "\n"); lines < 5 || lines > 15 {
				t.Fatalf("%d lines", lines)
			}
			file := filepath.Join(t.TempDir(), command.file)
			if err := os.WriteFile(file, []byte(programs[language]), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), command.interpreter, file)
			cmd.Env = s.environment()
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if token := string(out); !tokenText.MatchString(token) || !s.accepted(t, sandbox.Blink, "Bearer "+strings.TrimSpace(token)) {
				t.Errorf("it printed %q", token)
			}
		})
	}
	if n := s.Ledger()[sandbox.Blink].TokenRequests; n > 1 {
		t.Errorf("programs in five languages cost %d token requests", n)
	}
}

// Libraries of npm's, unchanged, against the command.
func TestNodeClients(t *testing.T) {
	need(t, "node")
	need(t, "npm")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/clients")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--silent", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("REQUIRE_INTERPRETERS") != "" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("npm cannot install: %v", err)
	}
	s := startServing(t, sandbox.Config{})
	for program, wrong := range map[string]string{"oauth4webapi.js": "401 ", "simple-oauth2.js": "401 invalid_client"} {
		t.Run(program, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "node", program)
			cmd.Dir, cmd.Env, cmd.Stderr = dir, s.environment(), os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := len(lines) - 1
			for _, token := range lines[:last] {
				if !s.accepted(t, sandbox.Blink, "Bearer "+token) {
					t.Errorf("the API does not take %q", token)
				}
			}
			if !strings.HasPrefix(lines[last], wrong) {
				t.Errorf("a wrong secret: %q", lines[last])
			}
			if last == 3 && (lines[0] != lines[1] || lines[0] == lines[2]) {
				t.Error("a token is shared until it is revoked, and not after")
			}
		})
	}
}
